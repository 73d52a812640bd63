package itest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/overcast-go/overcast/fixture"
)

// guardsOf are the guard processes of a process, which need not exist any more.
func guardsOf(parent int) []int {
	GinkgoHelper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	Expect(err).NotTo(HaveOccurred())
	var found []int
	for _, path := range lines {
		if text, err := os.ReadFile(path); err == nil && string(text) == fmt.Sprintf("overcast-guard\x00%d\x00", parent) {
			pid, err := strconv.Atoi(strings.Split(path, "/")[2])
			Expect(err).NotTo(HaveOccurred())
			found = append(found, pid)
		}
	}
	return found
}

// guardMemory is the largest size of a guard process that waits, in kB.
const guardMemory = 15 << 10

// memoryOf returns the resident and the proportional size of a process, in kB.
func memoryOf(pid int) (rss, pss int) {
	GinkgoHelper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	Expect(err).NotTo(HaveOccurred())
	for key, size := range map[string]*int{"Rss": &rss, "Pss": &pss} {
		value := regexp.MustCompile(`(?m)^` + key + `:\s+(\d+) kB$`).FindSubmatch(text)
		Expect(value).NotTo(BeNil(), string(text))
		*size, err = strconv.Atoi(string(value[1]))
		Expect(err).NotTo(HaveOccurred())
	}
	return rss, pss
}

// guardedRun is a run of a host that needs no guest. The word in its label tells specs apart.
func guardedRun(word, settings string) (label string, run *runOfOne) {
	GinkgoHelper()
	label = fmt.Sprintf("guarded_%s%d", word, GinkgoParallelProcess())
	define(strings.Replace(still, "<name>still<", "<name>"+label+"-base<", 1))
	config := fmt.Sprintf(`%s { libvirtURL = "qemu:///system", libvirtBaseDomain = "%[1]s-base", ipLookupStrategy = static, static.ip = "127.0.0.1", %s }`, label, settings)
	return label, otherRun{config: config, via: []string{"setsid"}}.bringsUp(label) // setsid makes it the leader of a process group
}

var _ = Describe("a guard process", func() {
	killProcess := func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }
	killGroup := func(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }
	// What a killed process leaves, the start of another one removes as well.
	DescribeTable("removes what a killed process leaves, and ends", Serial, func(word, settings string, kill func(pid int) error) {
		label, run := guardedRun(word, settings)
		run.address()
		pid := run.Command.Process.Pid
		Expect(guardsOf(pid)).To(HaveLen(1))
		Expect(leftovers(label)).NotTo(BeEmpty())
		Expect(kill(pid)).To(Succeed())
		Eventually(run, time.Minute).Should(gexec.Exit())
		Eventually(func() []int { return guardsOf(pid) }).WithTimeout(2 * time.Minute).Should(BeEmpty())
		Expect(leftovers(label)).To(BeEmpty())
		text, err := os.ReadFile(libvirtdLog)
		Expect(err).NotTo(HaveOccurred())
		for line := range strings.Lines(string(text)) {
			Expect(line).NotTo(ContainSubstring("overcast-" + label + "-"))
		}
	},
		Entry("of a host with keep = on-failure", fast, "kept", "keep = on-failure", killProcess),
		Entry("of a host with keep = always, with its process group", "group", "keep = always", killGroup),
		Entry("of a host with overlay = file", fast, "filed", "overlay = file", killProcess),
		Entry("of a host with overlay = file and keep, with its process group", "both", "overlay = file, keep = on-failure", killGroup),
	)

	It("removes what a process leaves that is killed while it creates a clone, 10 times", Serial, func(ctx SpecContext) {
		for n := range 10 {
			label, run := guardedRun(fmt.Sprintf("early%d_", n), "overlay = file, keep = on-failure")
			pid := run.Command.Process.Pid
			Eventually(func() bool { return len(guardsOf(pid)) > 0 || run.ExitCode() >= 0 }).WithPolling(time.Millisecond).WithTimeout(time.Minute).Should(BeTrue())
			wait(ctx, rand.N(300*time.Millisecond))
			run.Kill().Wait(30 * time.Second)
			Eventually(func() []int { return guardsOf(pid) }).WithTimeout(2 * time.Minute).Should(BeEmpty())
			Expect(leftovers(label)).To(BeEmpty())
		}
	})

	It("ends with the last host that needs it, and is small", fast, func(ctx SpecContext) {
		configure(`guarded_one = ${booting} { overlay = file }, guarded_two = ${booting} { keep = on-failure }, guarded_not = ${booting}`)
		up(ctx, "guarded_not")
		Expect(guardsOf(os.Getpid())).To(BeEmpty())
		up(ctx, "guarded_one")
		up(ctx, "guarded_two")
		guards := guardsOf(os.Getpid())
		Expect(guards).To(HaveLen(1))
		Eventually(func() string {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", guards[0]))
			return string(comm)
		}).WithTimeout(10 * time.Second).Should(Equal("overcast-guard\n"))
		rss, pss := memoryOf(guards[0])
		GinkgoWriter.Printf("the guard process has %d kB, %d kB of its own\n", rss, pss)
		Expect(pss).To(BeNumerically("<=", guardMemory))
		Expect(fixture.TearDown(ctx, "guarded_one")).To(Succeed())
		Expect(guardsOf(os.Getpid())).To(Equal(guards))
		Expect(fixture.TearDown(ctx, "guarded_two")).To(Succeed())
		Expect(guardsOf(os.Getpid())).To(BeEmpty())
		Expect(fixture.TearDown(ctx, "guarded_not")).To(Succeed())
	})

	It("leaves a clone that is kept, and ends with its process", func() {
		label, run := guardedRun("stays", "keep = always")
		DeferCleanup(func() { virsh("destroy", only(clones(label)).Name) })
		run.address()
		pid := run.Command.Process.Pid
		Expect(guardsOf(pid)).To(HaveLen(1))
		run.ends()
		Expect(guardsOf(pid)).To(BeEmpty())
		Expect(clones(label)).To(HaveLen(1))
		Expect(listed(label)[0].Kept).To(BeTrue())
	})
})
