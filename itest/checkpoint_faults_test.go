package itest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	hostpkg "github.com/overcast-go/overcast/internal/host"
	. "github.com/overcast-go/overcast/matchers"
)

// killWhileReading kills the QEMU of a clone as soon as it has read some of a saved
// state. The result is closed then.
func killWhileReading(clone string) (killed chan struct{}) {
	GinkgoHelper()
	const some = 8 << 20
	out, err := exec.Command("pgrep", "-f", "guest="+clone+",").Output()
	Expect(err).NotTo(HaveOccurred())
	pid := strings.TrimSpace(string(out))
	read := func() (bytes int) {
		text, _ := os.ReadFile("/proc/" + pid + "/io")
		_, _ = fmt.Sscanf(string(text), "rchar: %d", &bytes)
		return bytes
	}
	before := read()
	killed = make(chan struct{})
	limit := time.After(time.Minute)
	go func() {
		for read() < before+some {
			select {
			case <-limit:
				return
			case <-time.After(time.Millisecond):
			}
		}
		if exec.Command("kill", "-KILL", pid).Run() == nil {
			close(killed)
		}
	}()
	return killed
}

var _ = Describe("a revert", func() {
	It("fails when QEMU dies while it loads the state, and Pristine sets the host up anew", func(ctx SpecContext) {
		configure(`dying_host = ${guest}`)
		host := up(ctx, "dying_host")
		clone := clones("dying_host")[0].Name
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		killed := killWhileReading(clone)
		err = checkpoint.Revert(ctx)
		Expect(killed).To(BeClosed())
		expectStopped(err, ContainSubstring("reverting to a checkpoint: dying_host: "))

		pristine := func() {
			GinkgoHelper()
			Expect(hostpkg.Default.Pristine(ctx, []string{"dying_host"}, false)).To(Succeed())
		}
		pristine()
		again := clones("dying_host")[0].Name
		Expect(again).NotTo(Equal(clone))
		in(ctx, fixture.Host("dying_host"), "touch /root/used")
		killed = killWhileReading(again)
		pristine()
		Expect(killed).To(BeClosed())
		Expect(clones("dying_host")).To(HaveLen(1))
		Expect(clones("dying_host")[0].Name).NotTo(Equal(again))
		Expect(fixture.Host("dying_host")).NotTo(HaveFile("/root/used"))
		Expect(checkpoint.Revert(ctx)).To(MatchError(fixture.ErrCheckpointGone))
	})

	It("works after libvirtd has restarted", Serial, func(ctx SpecContext) {
		configure(`kept_state = ${guest}`)
		host := up(ctx, "kept_state")
		in(ctx, host, "echo before >/root/state")
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		in(ctx, host, "echo after >/root/state; sync")
		restartLibvirtd()
		Expect(checkpoint.Revert(ctx)).To(Succeed())
		Expect(says(ctx, host, "cat /root/state")).To(Equal("before\n"))
		Expect(fixture.TearDown(ctx, "kept_state")).To(Succeed())
		Expect(leftovers("kept_state")).To(BeEmpty())
	})
})
