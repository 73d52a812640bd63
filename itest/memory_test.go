package itest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/overcast-go/overcast/fixture"
)

// vast defines a base domain with that much memory, in bytes, none of which its
// clones use: they boot nothing.
func vast(memory uint64) {
	GinkgoHelper()
	define(strings.NewReplacer("<name>still", "<name>vast", "<memory unit='MiB'>32", fmt.Sprintf("<memory unit='b'>%d", memory)).Replace(still))
}

// memoryOfLab is how much memory the lab's hypervisor has, and how much of it is
// free, in bytes. That of tmpfs is not free.
func memoryOfLab() (total, free uint64) {
	GinkgoHelper()
	text, err := os.ReadFile("/proc/meminfo")
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(text)) {
		var kib uint64
		if _, err := fmt.Sscanf(line, "MemTotal: %d kB", &kib); err == nil {
			total = kib << 10
		}
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			free = kib << 10
		}
	}
	Expect(free).NotTo(BeZero())
	return total, free
}

// vastConfig is a clone of vast that only has to run.
const vastConfig = `%s { libvirtBaseDomain = vast, ipLookupStrategy = static, static.ip = "127.0.0.1", %s }`

var _ = Describe("memory admission", Serial, func() {
	It("serves runs that start at the same time in order, as memory becomes free", func() {
		_, free := memoryOfLab()
		vast(free / 10 * 4)
		runs := map[string]*runOfOne{}
		for _, label := range []string{"one", "two", "three"} {
			runs[label] = otherRun{config: fmt.Sprintf(vastConfig, label, "")}.bringsUp(label)
		}
		up := func() (labels []string) {
			for label, run := range runs {
				if is, _ := run.isUp(); is {
					labels = append(labels, label)
				}
			}
			return labels
		}
		Eventually(up).WithTimeout(time.Minute).Should(HaveLen(2))
		first := up()
		var third *runOfOne
		for label, run := range runs {
			if label != first[0] && label != first[1] {
				third = run
			}
		}
		Eventually(third.Out).WithTimeout(time.Minute).Should(gbytes.Say(`waiting for memory of .*: .*(one|two|three) of process \d+`))
		Consistently(third.isUp).WithTimeout(2 * time.Second).Should(BeFalse())

		By("naming the holders of the memory if the run does not wait")
		impatient := otherRun{config: fmt.Sprintf(vastConfig, "four", "memoryWait = 0")}.bringsUp("four")
		Eventually(impatient, time.Minute).Should(gexec.Exit(1))
		Expect(impatient.Out).To(gbytes.Say(`a clone of "vast" needs .* of memory at qemu:///system, where .* are free \(.*(one|two|three) of process \d+ .*hold memory or are queued ahead\); waited .*: memoryWait of 0s expired`))

		By("taking back what a run had that is killed")
		runs[first[0]].Kill().Wait(time.Minute)
		third.address()
		runs[first[1]].ends()
		third.ends()
	})

	It("gives all hosts of a run their memory at once, so that two runs do not deadlock", func() {
		_, free := memoryOfLab()
		vast(free / 10 * 4)
		config := fmt.Sprintf(vastConfig, "left", "") + "\n" + fmt.Sprintf(vastConfig, "right", "")
		var waiting []*runOfOne
		for range 3 {
			waiting = append(waiting, otherRun{config: config}.bringsUp("left,right"))
		}
		for len(waiting) > 0 {
			up := firstUp(waiting)
			Expect(clones("left")).To(HaveLen(1))
			Expect(clones("right")).To(HaveLen(1))
			up.ends()
			waiting = slices.DeleteFunc(waiting, func(r *runOfOne) bool { return r == up })
		}
	})

	It("fails at once for hosts that cannot fit together", func() {
		total, _ := memoryOfLab()
		vast(total / 10 * 6)
		run := otherRun{config: fmt.Sprintf(vastConfig, "left", "") + "\n" + fmt.Sprintf(vastConfig, "right", "")}.bringsUp("left,right")
		Eventually(run, time.Minute).Should(gexec.Exit(1))
		Expect(run.Out).To(gbytes.Say(`left, right, which are set up together, need .* of memory at qemu:///system, which has .* in all: they can never fit`))
		Expect(leftovers("left")).To(BeEmpty())
	})

	It("fails at once for a clone that cannot fit", func(ctx SpecContext) {
		total, _ := memoryOfLab()
		vast(total + 1<<30)
		configure(vastConfig, "big", "")
		_, err := fixture.SetUp(ctx, "big")
		Expect(err).To(MatchError(fixture.ErrNotEnoughMemory))
		Expect(err).To(MatchError(MatchRegexp(`needs \d+\.\d GiB of memory at qemu:///system, which has \d+\.\d GiB in all: it can never fit`)))
		Expect(leftovers("big")).To(BeEmpty())
	})
})
