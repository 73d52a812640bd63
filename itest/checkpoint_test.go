package itest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	hostpkg "github.com/overcast-go/overcast/internal/host"
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

	It("can be made while the guest writes to its disk", func(ctx SpecContext) {
		configure(`writing_host = ${guest}`)
		host := up(ctx, "writing_host")
		count := func(g Gomega) int {
			result, err := host.Run(ctx, "cat /root/count")
			g.Expect(err).NotTo(HaveOccurred())
			n, err := strconv.Atoi(strings.TrimSpace(result.Stdout))
			g.Expect(err).NotTo(HaveOccurred())
			return n
		}
		in(ctx, host, "(n=0; while :; do n=$((n+1)); echo $n >/root/next; sync; mv /root/next /root/count; done) </dev/null >/dev/null 2>&1 &")
		Eventually(count).WithTimeout(time.Minute).Should(BeNumerically(">", 5))
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		for range 3 {
			in(ctx, host, "echo later >/root/later; sync")
			Expect(checkpoint.Revert(ctx)).To(Succeed())
			Expect(host).NotTo(HaveFile("/root/later"))
			Eventually(count).WithTimeout(time.Minute).Should(BeNumerically(">", count(Default)))
			Expect(says(ctx, host, "dmesg | grep -ci 'ext4.*error\\|i/o error' || true")).To(Equal("0\n"))
		}
	})

	It("fails without harm to the guest if the pool is full", func(ctx SpecContext) {
		pool("narrow", "24M")
		configure(`narrow_host = ${guest} { overlayPool = narrow }`)
		host := up(ctx, "narrow_host")
		_, err := host.Checkpoint(ctx)
		Expect(err).To(MatchError(MatchRegexp(`pool narrow has \d+\.\d MiB free, and the state needs up to \d+\.\d MiB: free space there, or set overlayPool to a larger pool`)))
		Expect(says(ctx, host, "echo more >/root/more && sync && cat /root/more")).To(Equal("more\n"))
	})

	It("needs mountAt for a 9p folder", func(ctx SpecContext) {
		configure(`%s`, fmt.Sprintf(`own_mount = ${guest} { fsMapping.data.hostPath = %q }, our_mount = ${guest} { fsMapping.files { hostPath = %[1]q, mountAt = /files } }`, share()))
		host := up(ctx, "own_mount")
		Expect(host).To(HaveMounted("/data"))
		_, err := host.Checkpoint(ctx)
		Expect(err).To(MatchError(fixture.ErrNoCheckpoint))
		Expect(err).To(MatchError(ContainSubstring("set fsMapping.data.mountAt instead of mounting it in the guest")))
		Expect(says(ctx, host, "cat /data/hello")).To(Equal("from outside"))

		host = up(ctx, "our_mount")
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(says(ctx, host, "cat /files/hello")).To(Equal("from outside"))
		in(ctx, host, "umount /files")
		Expect(checkpoint.Revert(ctx)).To(Succeed())
		Expect(says(ctx, host, "cat /files/hello")).To(Equal("from outside"))
	})
})

var _ = Describe("the pristine state of two hosts", func() {
	// One host sends growing numbers to the other, which would get a smaller one
	// than before if its state were later than the sender's.
	It("is saved and restored at one moment on both hosts", func(ctx SpecContext) {
		configure(`sending_host = ${guest}, receiving_host = ${guest}`)
		allUp(ctx, "sending_host", "receiving_host")
		sender, receiver := fixture.Host("sending_host"), fixture.Host("receiving_host")
		in(ctx, receiver, `(highest=0; while :; do n=$(nc -l -p 4000 </dev/null); [ "$n" ] || continue
			[ $n -ge $highest ] || echo $n after $highest >>/root/future; highest=$n; echo $n >/root/received; done) </dev/null >/dev/null 2>&1 &`)
		in(ctx, sender, fmt.Sprintf(`(n=0; while :; do n=$((n+1)); until echo $n | nc %s 4000; do :; done; done) </dev/null >/dev/null 2>&1 &`, receiver.HostName()))
		received := func(g Gomega) int {
			result, err := fixture.Host("receiving_host").Run(ctx, "cat /root/received")
			g.Expect(err).NotTo(HaveOccurred())
			n, err := strconv.Atoi(strings.TrimSpace(result.Stdout))
			g.Expect(err).NotTo(HaveOccurred())
			return n
		}
		for range 4 { // the first one saves the state
			Expect(hostpkg.Default.Pristine(ctx, []string{"sending_host", "receiving_host"}, false)).To(Succeed())
			Expect(receiver).NotTo(HaveFile("/root/used"))
			start := received(Default)
			Eventually(received).WithTimeout(time.Minute).Should(BeNumerically(">", start+20))
			Expect(receiver).NotTo(HaveFile("/root/future"))
			in(ctx, receiver, "touch /root/used")
		}
	})

	It("is not restored if the hosts have not been used, and is restored on a new host in place of one that has ended", func(ctx SpecContext) {
		configure(`idle_host = ${guest}, ending_host = ${guest}`)
		allUp(ctx, "idle_host", "ending_host")
		pristine := func() {
			GinkgoHelper()
			Expect(hostpkg.Default.Pristine(ctx, []string{"idle_host", "ending_host"}, false)).To(Succeed())
		}
		pristine()
		before := clones("ending_host")
		pristine()
		Expect(clones("ending_host")).To(Equal(before))

		in(ctx, fixture.Host("idle_host"), "touch /root/used")
		_, _ = fixture.Host("ending_host").Run(ctx, "poweroff -f")
		pristine()
		Expect(fixture.Host("idle_host")).NotTo(HaveFile("/root/used"))
		Expect(clones("ending_host")).To(HaveLen(1))
		Expect(clones("ending_host")[0].Name).NotTo(Equal(before[0].Name))
		in(ctx, fixture.Host("ending_host"), "touch /root/used")
		pristine()
		Expect(fixture.Host("ending_host")).NotTo(HaveFile("/root/used"))
	})
})
