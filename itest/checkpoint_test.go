package itest

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
)

var _ = Describe("a checkpoint", func() {
	It("brings back files and processes, and sets the clock", func(ctx SpecContext) {
		configure(`saved_host = ${guest}`)
		host := up(ctx, "saved_host")
		says(ctx, host, "echo before > /root/before; setsid sleep 4321 </dev/null >/dev/null 2>&1 &")
		Eventually(host).WithTimeout(time.Minute).Should(HaveProcess(ContainSubstring("sleep 4321")))
		start := time.Now()
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		GinkgoWriter.Println("checkpoint:", time.Since(start))

		says(ctx, host, "echo after > /root/after; rm /root/before; sync; kill $(pidof sleep); date -u -s @2145916800")
		for range 3 {
			start = time.Now()
			Expect(checkpoint.Revert(ctx)).To(Succeed())
			GinkgoWriter.Println("revert:", time.Since(start))
			Expect(says(ctx, host, "cat /root/before; ls /root/after 2>/dev/null | wc -l")).To(Equal("before\n0\n"))
			GinkgoWriter.Println("first answer:", time.Since(start))
			Expect(host).To(HaveProcess(ContainSubstring("sleep 4321")))
			Expect(says(ctx, host, "date -u +%Y-%m-%d")).To(HavePrefix(time.Now().UTC().Format(time.DateOnly)))
			says(ctx, host, "rm -f /root/before; echo after > /root/after; sync")
		}
		Expect(checkpoint.Delete(ctx)).To(Succeed())
		Expect(checkpoint.Delete(ctx)).To(Succeed())
		Expect(checkpoint.Revert(ctx)).To(MatchError(fixture.ErrCheckpointGone))
		Expect(says(ctx, host, "echo it goes on")).To(Equal("it goes on\n"))
	})
})
