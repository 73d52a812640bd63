package itest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

// once calls do in the background as soon as a condition holds. The result is closed when do has
// succeeded.
func once(holds func() bool, do func() error) (done chan struct{}) {
	done = make(chan struct{})
	limit := time.After(time.Minute)
	go func() {
		for !holds() {
			select {
			case <-limit:
				return
			case <-time.After(time.Millisecond):
			}
		}
		if do() == nil {
			close(done)
		}
	}()
	return done
}

// specsOfFailingSlots are those of slots whose memory or disks fail after the plan of the set-up.
func specsOfFailingSlots() {
	const remote = `libvirtURL = "qemu+ssh://user@linux-box/system", reach = direct`

	BeforeEach(func() { DeferCleanup(removeSlots) })

	It("boots again if QEMU dies while its memory is saved", func(ctx SpecContext) {
		configure(`warm_dying = ${guest} { warm = true }`)
		saving := func() bool {
			found, _ := filepath.Glob(imageDir + "/overcast-warm_dying-*-memory.raw")
			if len(found) == 0 {
				return false
			}
			info, err := os.Stat(found[0])
			return err == nil && info.Size() > 0
		}
		killed := once(saving, exec.Command("sh", "-c", "kill -KILL $(cat /run/libvirt/qemu/overcast-warm_dying-*.pid)").Run)
		var steps recordedSteps
		host := up(steps.record(ctx), "warm_dying")
		Expect(killed).To(BeClosed())
		Expect(steps.count("discarded memory:")).To(Equal(1), steps.all())
		Expect(host.Run(ctx, "true")).To(HaveField("ExitCode", 0))
		Expect(layerDomains()).To(BeEmpty())
		Expect(fixture.TearDown(ctx, "warm_dying")).To(Succeed())
		Expect(leftovers("warm_dying")).To(BeEmpty())
	}, NodeTimeout(5*time.Minute))

	It("on a remote hypervisor boots if reading its memory does not end within libvirtStartTimeout", func(ctx SpecContext) {
		configure(`warm_endless = ${guest} { warm = true, libvirtStartTimeout = 20, ` + remote + ` }`)
		up(ctx, "warm_endless")
		Expect(fixture.TearDown(ctx, "warm_endless")).To(Succeed())
		Expect(layerDomains()).To(HaveLen(1))
		restoring := func() bool { // with a monitor, for which libvirt waits without limit otherwise
			return exec.Command("pgrep", "-f", "guest=overcast-warm_endless.*-incoming").Run() == nil
		}
		stopped := once(restoring, exec.Command("pkill", "-STOP", "-f", "guest=overcast-warm_endless.*-incoming").Run)
		var steps recordedSteps
		up(steps.record(ctx), "warm_endless")
		Expect(stopped).To(BeClosed())
		Expect(steps.all()).To(MatchRegexp(`discarded memory: .*libvirtStartTimeout of 20s expired`))
		Expect(layerDomains()).To(BeEmpty())
		Expect(fixture.TearDown(ctx, "warm_endless")).To(Succeed())
		Expect(leftovers("warm_endless")).To(BeEmpty())
	}, NodeTimeout(5*time.Minute))

	It("boots if the pool of its slot is stopped, or does not exist any more", func(ctx SpecContext) {
		virsh("pool-define-as", "passing", "dir", "--target", openDir())
		DeferCleanup(func() {
			_ = exec.Command("virsh", "-q", "pool-destroy", "passing").Run() // it may be gone
			_ = exec.Command("virsh", "-q", "pool-undefine", "passing").Run()
		})
		virsh("pool-start", "passing")
		configure(`
			warm_moved = ${guest} { warm = true, overlayPool = passing }
			warm_later = ${warm_moved} { overlayPool = default }
		`)
		stepsOf := func(label string) string {
			GinkgoHelper()
			var steps recordedSteps
			up(steps.record(ctx), label)
			Expect(fixture.TearDown(ctx, label)).To(Succeed())
			return steps.all()
		}
		Expect(stepsOf("warm_moved")).To(ContainSubstring("saved memory slot 0"))
		virsh("pool-destroy", "passing")
		Expect(stepsOf("warm_later")).To(And(MatchRegexp(`not warm: .*'passing' is not active`), Not(ContainSubstring("discarded"))))
		virsh("pool-start", "passing")
		Expect(stepsOf("warm_moved")).To(ContainSubstring("restoring memory of slot 0"))
		virsh("pool-destroy", "passing")
		virsh("pool-undefine", "passing")
		Expect(stepsOf("warm_later")).To(MatchRegexp(`discarded memory: .*looking up its pool passing`))
		Expect(layerDomains()).To(BeEmpty())
	}, NodeTimeout(5*time.Minute))
}

// specsOfSyncedBuilders are those of layers whose builders have copies of folders.
func specsOfSyncedBuilders() {
	It("on a remote hypervisor has no copy of a folder left that only its builder has used", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		configure(`layer_synced = ${guest} {
			libvirtURL = "qemu+ssh://user@linux-box/system", reach = direct
			fsMapping.docs { hostPath = %q, sync = true, mountAt = /docs }
			provision { cache = true, cmd = "cp /docs/hello /root/hello" }
		}`, share())
		host := up(ctx, "layer_synced")
		Expect(run(logIn(host), "cat /root/hello /docs/hello")).To(Equal(strings.Repeat("from outside", 2)))
		Expect(filepath.Glob("/var/tmp/overcast-layer-*")).To(BeEmpty())
		Expect(filepath.Glob("/var/tmp/overcast-layer_synced-*")).To(HaveLen(1))
		Expect(fixture.TearDown(ctx, "layer_synced")).To(Succeed())
	}, NodeTimeout(5*time.Minute))
}
