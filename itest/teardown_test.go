package itest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/filelock"
)

// built builds a program or a test once in a process, and answers with its path.
func built(name string, args ...string) func() string {
	return sync.OnceValue(func() string {
		path := filepath.Join(os.TempDir(), fmt.Sprintf("itest-%d-%s", os.Getpid(), name))
		out, err := exec.Command("go", append(args[:1:1], append([]string{"-o", path}, args[1:]...)...)...).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		return path
	})
}

var (
	ginkgoBinary = built("ginkgo", "build", "github.com/onsi/ginkgo/v2/ginkgo")
	childSuite   = built("child.test", "test", "-c", "./testdata/child")
)

// childRun is a run of the suite in testdata/child, in a folder of its own, with
// its own hosts and base domain.
type childRun struct {
	*gexec.Session
	name   string
	dir    string
	number int
	base   map[string]string // what belongs to the base domain, before the run
}

// childHosts are the hosts of a run: one as most are, one whose overlay is a
// file, and one with a static address, which process 1 sets up for both, and has
// for itself in its specs; one that cannot be logged in to; and hosts of all
// three kinds that take longer than any run. Nothing boots in their base: a
// command makes their address up, from the MAC address.
const childHosts = `
child {
	libvirtURL = "qemu:///system"
	libvirtBaseDomain = "%[1]s-base"
	networkDeviceId = "my_nat_network"
	ipLookupStrategy = "SSH"
	SSH {
		url = "ssh://user@linux-box?privateKeyFile="${user.home}"/.ssh/id_rsa&passphrase=bigsecret"
		command = """set -- $(echo {0} | tr : " "); echo 198.18.$((0x$5)).$((0x$6))"""
	}
}
%[1]s_plain = ${child}
%[1]s_filed = ${child} { overlay = file }
%[1]s_slow = ${%[1]s_filed} { shutdownTimeout = 3 }
%[1]s_third = ${child}
%[1]s_fixed = ${child} { ipLookupStrategy = static, static.ip = "10.99.0.%[2]d" }
%[1]s_late = ${child} { connection.url = "ssh://nobody@{0}:23", provision.startTimeout = 1 }
%[1]s_boots = ${child} { ipLookupStrategy = lease, addressTimeout = 10 minutes }
%[1]s_boots_filed = ${%[1]s_boots} { overlay = file }
%[1]s_boots_fixed = ${%[1]s_fixed} { connection.url = "ssh://nobody@{0}:23", provision.startTimeout = 10 minutes }
`

// numbers tells runs of a process apart. Those of all processes are, too.
var numbers = 0

// prepareChild makes the folder and the base of a run. The changes are words of
// the base's definition and what takes their place.
func prepareChild(changes ...string) *childRun {
	GinkgoHelper()
	numbers++
	r := &childRun{number: numbers*suiteConfig().ParallelTotal + GinkgoParallelProcess(), dir: openDir()}
	r.name = fmt.Sprintf("end%dof%d", r.number, os.Getpid()) // the files of locks outlast this suite
	Expect(os.Symlink(childSuite(), filepath.Join(r.dir, "child.test"))).To(Succeed())
	Expect(os.WriteFile(filepath.Join(r.dir, "overcast.conf"), fmt.Appendf(nil, childHosts, r.name, r.number), 0o644)).To(Succeed())
	disk := emptyDisk(r.name+"-base.qcow2", "qcow2", "1M")
	eventuallyRefresh("default")
	define(strings.NewReplacer(append(changes, "<name>still<", "<name>"+r.name+"-base<", imageDir+"/lab-two-disks.qcow2", disk)...).Replace(still))
	r.base = r.baseNow()
	return r
}

// baseNow is what must not change.
func (r *childRun) baseNow() map[string]string {
	GinkgoHelper()
	return map[string]string{
		"disk":       contentOf(filepath.Join(imageDir, r.name+"-base.qcow2")),
		"definition": virsh("dumpxml", "--inactive", r.name+"-base"),
	}
}

// command is what runs a program in the run's folder, in a process group of its
// own, as a shell does.
func (r *childRun) command(does string, hosts []string, name string, args ...string) *exec.Cmd {
	var labels []string
	for _, host := range hosts {
		labels = append(labels, r.name+"_"+host)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "CHILD_DOES="+does, "CHILD_HOSTS="+strings.Join(labels, " "), "OVERCAST_SET=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// start starts it. It ends with the spec.
func (r *childRun) start(does string, hosts []string, name string, args ...string) {
	GinkgoHelper()
	cmd := r.command(does, hosts, name, args...)
	var err error
	r.Session, err = gexec.Start(cmd, GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		r.Session.Wait(30 * time.Second)
	})
	Expect(r.processes()).NotTo(BeEmpty(), "or else nothing would be found when it has ended")
}

// processes are those that have the run's folder as theirs: all of the run.
func (r *childRun) processes() []int {
	var found []int
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if dir, err := os.Readlink(link); err == nil && dir == r.dir {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			found = append(found, pid)
		}
	}
	return found
}

// awaits waits until processes of the run report their progress, and returns
// with their IDs.
func (r *childRun) awaits(what string, processes ...int) (pids []int) {
	GinkgoHelper()
	for _, n := range processes {
		path := filepath.Join(r.dir, fmt.Sprintf("%s-%d", what, n))
		Eventually(path).WithTimeout(time.Minute).Should(BeAnExistingFile())
		text, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		pid, err := strconv.Atoi(string(text))
		Expect(err).NotTo(HaveOccurred())
		pids = append(pids, pid)
	}
	return pids
}

// boots waits until a number of clones run that are never up.
func (r *childRun) boots(clones int) {
	GinkgoHelper()
	Eventually(func() int {
		return strings.Count(virsh("list", "--name", "--state-running"), "overcast-"+r.name+"_boots")
	}).WithTimeout(time.Minute).Should(Equal(clones))
}

// says waits until Ginkgo has said something so often: each process does it.
func (r *childRun) says(words string, times int) {
	GinkgoHelper()
	Eventually(func() int { return strings.Count(string(r.Out.Contents()), words) }).WithTimeout(time.Minute).Should(BeNumerically(">=", times))
}

// interrupt sends what a terminal does for Ctrl-C.
func (r *childRun) interrupt() {
	GinkgoHelper()
	Expect(syscall.Kill(-r.Command.Process.Pid, syscall.SIGINT)).To(Succeed())
}

// word tells those that wait for it to go on.
func (r *childRun) word() {
	GinkgoHelper()
	Expect(os.WriteFile(filepath.Join(r.dir, "word"), nil, 0o600)).To(Succeed())
}

// ends waits until no process of the run is left. The sockets that a process
// listens at, the kernel has closed by then: nothing is forwarded any more.
func (r *childRun) ends() {
	GinkgoHelper()
	NewGomega(func(message string, _ ...int) {
		GinkgoHelper()
		for _, pid := range r.processes() {
			_ = syscall.Kill(pid, syscall.SIGQUIT) // it prints what it does, and ends
		}
		Eventually(r.processes).WithTimeout(10 * time.Second).Should(BeEmpty())
		Fail(message)
	}).Eventually(r.processes).WithTimeout(time.Minute).Should(BeEmpty())
}

// domains are those that are left of the run.
func (r *childRun) domains() []string {
	GinkgoHelper()
	return slices.DeleteFunc(strings.Fields(virsh("list", "--all", "--name")), func(name string) bool { return !strings.HasPrefix(name, "overcast-"+r.name+"_") })
}

// rest is everything but domains that is left of the run.
func (r *childRun) rest() []string {
	GinkgoHelper()
	var found []string
	for _, path := range append(belongings(), strings.Fields(virsh("vol-list", "default"))...) {
		if strings.Contains(filepath.Base(path), "overcast-"+r.name+"_") {
			found = append(found, filepath.Base(path))
		}
	}
	files, err := os.ReadDir(imageDir)
	Expect(err).NotTo(HaveOccurred())
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "overcast-"+r.name+"_") {
			found = append(found, f.Name())
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// claims are the tickets in the queues for addresses, memory and hosts that
// belong to the run: those that are held, or all.
func (r *childRun) claims(held bool) []string {
	GinkgoHelper()
	dir, err := filelock.Dir()
	Expect(err).NotTo(HaveOccurred())
	tickets, _ := filepath.Glob(filepath.Join(dir, "*.queue", "*.ticket"))
	var found []string
	for _, path := range tickets {
		file, err := os.Open(path)
		if os.IsNotExist(err) {
			continue // of another process, which has left the queue
		}
		Expect(err).NotTo(HaveOccurred())
		text, err := io.ReadAll(file)
		Expect(err).NotTo(HaveOccurred())
		if strings.Contains(string(text), `"label":"`+r.name+"_") {
			free := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil
			if !held || !free {
				found = append(found, path+": "+string(text))
			}
		}
		Expect(file.Close()).To(Succeed())
	}
	return found
}

// When what a run has made is gone.
const (
	tornDown = "torn down"        // by the time that its last process has ended
	byGuard  = "gone"             // a moment later, by libvirtd and the guard process
	byGC     = "gone by gc"       // a file not before overcast gc, or the next run's start
	andFreed = "torn down, freed" // as tornDown, but what a process had locked when it was killed, the kernel has freed
)

// leaves waits until nothing is left of the run, after overcast gc if that is needed.
func (r *childRun) leaves(when string) {
	GinkgoHelper()
	r.ends()
	switch when {
	case tornDown:
		Expect(r.claims(false)).To(BeEmpty(), "what is given back is not left to the kernel")
	case byGuard:
		Eventually(r.domains).WithTimeout(30 * time.Second).Should(BeEmpty())
		Eventually(r.rest).WithTimeout(30 * time.Second).Should(BeEmpty())
	case byGC:
		Eventually(r.domains).WithTimeout(30 * time.Second).Should(BeEmpty())
		Expect(r.rest()).NotTo(BeEmpty())
		overcast("gc", "-c", "qemu:///system")
	}
	Expect(r.domains()).To(BeEmpty())
	Expect(r.rest()).To(BeEmpty())
	Expect(virsh("pool-list", "--all", "--name")).NotTo(ContainSubstring("overcast-" + r.name))
	Expect(r.baseNow()).To(Equal(r.base))

	Expect(r.claims(true)).To(BeEmpty())
}

// ending is a row of the table in the documentation of package suite.
type ending struct {
	does    string          // what the child does
	hosts   []string        // that it has; nil is one of each kind
	args    []string        // of ginkgo
	disturb func(*childRun) // what is done to it from outside
	when    string          // what it has made is gone
	says    string          // what it says
}

var _ = Describe("a suite", func() {
	// What a run leaves, the start of any other removes: those of which it is
	// known what they leave are Serial.
	DescribeTable("cleans up when", func(e ending) {
		r := prepareChild()
		hosts := e.hosts
		if hosts == nil {
			hosts = []string{"plain", "filed", "fixed"}
		}
		r.start(e.does, hosts, ginkgoBinary(), append(append([]string{"-procs=2", "--no-color", "--grace-period=20s"}, e.args...), "child.test")...)
		if e.disturb != nil {
			e.disturb(r)
		}
		r.leaves(e.when)
		Expect(string(r.Out.Contents()) + string(r.Err.Contents())).To(ContainSubstring(e.says))
	},
		Entry("all specs pass", fast, ending{does: "pass", when: tornDown, says: "2 Passed"}),
		Entry("a spec fails", ending{does: "fail", when: tornDown, says: "2 Failed"}),
		Entry("a spec panics", ending{does: "panic", when: tornDown, says: "2 Failed"}),
		Entry("BeforeSuite fails half-way through three hosts", ending{hosts: []string{"fixed", "filed", "late"}, when: tornDown, says: "host is not reachable"}),
		Entry("BeforeSuite panics half-way through three hosts", ending{does: "panic in BeforeSuite", hosts: []string{"fixed", "filed", "third"}, when: tornDown, says: "half-way"}),
		Entry("AfterSuite panics", ending{does: "panic in AfterSuite", when: tornDown, says: "after the specs"}),
		Entry("a goroutine panics", Serial, ending{does: "panic in a goroutine", when: byGuard, says: "exit status 2"}),
		Entry("a spec calls os.Exit", Serial, fast, ending{does: "exit", when: byGuard, says: "exit status 3"}),

		Entry("SIGINT comes once, during specs", ending{does: "wait", when: tornDown, says: "First interrupt received", disturb: func(r *childRun) {
			r.awaits("running", 1, 2)
			Expect(r.claims(true)).To(ConsistOf(
				ContainSubstring("static-10.99.0.%d.queue/", r.number), ContainSubstring("exclusive-10.99.0.%d.queue/", r.number),
				ContainSubstring("/slot-"), ContainSubstring("/slot-"), ContainSubstring("/slot-"), ContainSubstring("/slot-")), "what is looked for at the end")
			r.interrupt()
		}}),
		Entry("SIGINT comes twice, during specs", Serial, ending{does: "ignore SIGINT", when: byGuard, says: "Second interrupt received", disturb: func(r *childRun) {
			r.awaits("running", 1, 2)
			r.interrupt()
			r.says("First interrupt received", 2)
			r.interrupt()
		}}),
		Entry("SIGINT comes three times, during specs", Serial, ending{does: "ignore every SIGINT", when: byGuard, says: "Final interrupt received", disturb: func(r *childRun) {
			r.awaits("running", 1, 2)
			r.interrupt()
			r.says("First interrupt received", 2)
			r.interrupt()
			r.awaits("reporting", 1)
			r.interrupt()
		}}),
		Entry("SIGINT comes once, during boot, also of a shared host", ending{hosts: []string{"boots", "boots_filed", "boots_fixed"}, when: tornDown, says: "First interrupt received", disturb: func(r *childRun) {
			r.boots(5)
			r.interrupt()
		}}),
		Entry("SIGINT comes twice, during boot", ending{hosts: []string{"boots", "boots_filed", "boots_fixed"}, when: byGuard, says: "First interrupt received", disturb: func(r *childRun) {
			r.boots(5)
			r.interrupt()
			r.says("First interrupt received", 2)
			r.interrupt()
		}}),
		Entry("SIGINT comes three times, during boot", ending{does: "ignore every SIGINT", hosts: []string{"boots", "boots_filed", "boots_fixed"}, when: byGuard, says: "Final interrupt received", disturb: func(r *childRun) {
			r.boots(5)
			r.interrupt()
			r.says("First interrupt received", 2)
			r.interrupt()
			r.awaits("reporting", 1)
			r.interrupt()
		}}),
		Entry("SIGINT comes once, and teardown takes longer than Ginkgo's grace period", ending{does: "wait", hosts: []string{"slow", "fixed"}, args: []string{"--grace-period=100ms"}, when: tornDown, disturb: func(r *childRun) {
			r.awaits("running", 1, 2)
			r.interrupt()
		}}),
		Entry("SIGHUP comes to all, as when a terminal is closed", Serial, ending{does: "wait for a message", when: byGuard, disturb: func(r *childRun) {
			r.awaits("running", 1, 2)
			Expect(syscall.Kill(-r.Command.Process.Pid, syscall.SIGHUP)).To(Succeed())
		}}),
		Entry("SIGTERM comes to the ginkgo command only", ending{does: "wait for a message", when: tornDown, says: "2 Passed", disturb: func(r *childRun) {
			r.awaits("running", 1, 2)
			r.Terminate()
			r.word()
		}}),
		Entry("SIGKILL comes to a process, and the other one acquires its host", Serial, ending{does: "take turns", when: byGuard, disturb: func(r *childRun) {
			Expect(syscall.Kill(r.awaits("running", 2)[0], syscall.SIGKILL)).To(Succeed())
			r.awaits("running", 1)
		}}),
		Entry("SIGKILL comes to process 1", Serial, ending{does: "wait for a message", when: byGuard, disturb: func(r *childRun) {
			Expect(syscall.Kill(r.awaits("running", 1, 2)[0], syscall.SIGKILL)).To(Succeed())
			r.word()
		}}),
		Entry("SIGKILL comes to all, and to their guard processes before", Serial, ending{does: "wait for a message", when: byGC, disturb: func(r *childRun) {
			for _, pid := range r.awaits("running", 1, 2) {
				guards := guardsOf(pid)
				Expect(guards).To(HaveLen(1))
				Expect(syscall.Kill(guards[0], syscall.SIGKILL)).To(Succeed())
			}
			Expect(syscall.Kill(-r.Command.Process.Pid, syscall.SIGKILL)).To(Succeed())
		}}),
		Entry("SIGKILL comes to the ginkgo command", ending{does: "wait", when: andFreed, disturb: func(r *childRun) {
			r.awaits("running", 1, 2)
			r.Kill()
		}}),
		Entry("SIGKILL comes to the ginkgo command, during boot", ending{hosts: []string{"boots", "boots_filed", "boots_fixed"}, when: tornDown, disturb: func(r *childRun) {
			r.boots(5)
			r.Kill()
		}}),
		Entry("SIGKILL comes to the ginkgo command of one process", ending{does: "wait for a message", args: []string{"--procs=1"}, when: tornDown, says: "2 Passed", disturb: func(r *childRun) {
			r.awaits("running", 1)
			r.Kill()
			Consistently(r.domains).WithTimeout(2*time.Second).Should(HaveLen(3), "no process waits for the runner")
			r.word()
		}}),
		Entry("--timeout expires", ending{does: "wait", args: []string{"--timeout=10s"}, when: tornDown, says: "timeout occurred"}),
		Entry("--fail-fast stops it", ending{does: "fail first", args: []string{"--fail-fast"}, when: tornDown, says: "Interrupted by Other Ginkgo Process", disturb: func(r *childRun) {
			r.awaits("running", 1, 2)
			r.word()
		}}),
		Entry("libvirtd is restarted during specs", Serial, ending{does: "wait for a message", when: tornDown, says: "2 Passed", disturb: func(r *childRun) {
			r.awaits("running", 1, 2)
			restartLibvirtd()
			r.word()
		}}),
		Entry("libvirtd is restarted during specs, and then SIGKILL comes to all", Serial, ending{does: "wait for a message", hosts: []string{"plain", "fixed"}, when: byGuard, disturb: func(r *childRun) {
			processes := r.awaits("running", 1, 2)
			Expect(guardsOf(processes[0])).To(BeEmpty(), "libvirtd destroys the hosts")
			restartLibvirtd()
			for _, pid := range processes {
				Eventually(guardsOf).WithArguments(pid).WithTimeout(time.Minute).Should(HaveLen(1))
			}
			Expect(syscall.Kill(-r.Command.Process.Pid, syscall.SIGKILL)).To(Succeed())
		}}),
	)

	It("cleans up when testify's SetupSuite calls t.FailNow", func() {
		r := prepareChild()
		r.start("FailNow in SetupSuite", []string{"plain", "filed", "fixed"}, filepath.Join(r.dir, "child.test"), "-test.run=^TestTestify$")
		r.awaits("booted", 1)
		r.leaves(tornDown)
		Expect(r.Out).To(gbytes.Say("--- FAIL: TestTestify"))
	})

	It("cleans up when -timeout of go test expires", func() {
		r := prepareChild()
		r.start("ignore SIGINT", []string{"plain", "filed", "fixed"}, filepath.Join(r.dir, "child.test"), "-test.timeout=10s")
		r.leaves(byGuard)
		Expect(r.Err).To(gbytes.Say("panic: test timed out after 10s"))
	})
})

// killsVariable says how many runs of a small suite are killed.
const killsVariable = "ITEST_KILLS"

// killedRuns is that number, and killedAtOnce how many of them run at once.
const (
	killedRuns   = 10
	killedAtOnce = 5
)

var _ = Describe("a small suite that is killed at any moment", Serial, func() {
	It("leaves nothing after overcast gc, 10 times, or 100 times (make kills)", func() {
		kills := killedRuns
		if more, err := strconv.Atoi(os.Getenv(killsVariable)); err == nil {
			kills = more
		}
		var all sync.WaitGroup
		var runs []*childRun
		for range killedAtOnce {
			runs = append(runs, prepareChild())
		}
		for _, r := range runs {
			all.Go(func() {
				defer GinkgoRecover()
				for range kills / killedAtOnce {
					r.killAtRandom(4 * time.Second)
				}
			})
		}
		all.Wait()
		for _, r := range runs {
			if libvirtdCrashes() == crashesBefore {
				Eventually(r.domains).WithTimeout(30 * time.Second).Should(BeEmpty())
			}
		}
		GinkgoWriter.Println(overcast("gc", "-c", "qemu:///system"))
		for _, r := range runs {
			r.leaves(andFreed)
		}
	})
})

// killAtRandom starts the run, and kills its runner, a process, or all of it,
// within a time. What is not killed ends by itself.
func (r *childRun) killAtRandom(within time.Duration) {
	GinkgoHelper()
	cmd := r.command("wait a second", []string{"plain", "filed", "fixed"}, ginkgoBinary(), "-procs=2", "child.test")
	Expect(cmd.Start()).To(Succeed())
	moment := rand.N(within)
	killing := time.AfterFunc(moment, func() {
		processes, what := r.processes(), rand.N(3)
		GinkgoWriter.Printf("%s: after %v, of %v: %s\n", r.name, moment, processes, []string{"the runner", "a process", "all"}[what])
		switch what {
		case 0:
			_ = cmd.Process.Kill()
		case 1:
			for _, pid := range processes {
				if pid != cmd.Process.Pid {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					break
				}
			}
		default:
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	defer killing.Stop()
	_ = cmd.Wait()
	r.ends()
}

func suiteConfig() (config types.SuiteConfig) {
	config, _ = GinkgoConfiguration()
	return config
}

// libvirtdLog has the warnings and errors of the lab's libvirtd.
const libvirtdLog = "/run/lab/log/libvirtd-warnings.log"

var _ = Describe("the teardown of a clone", func() {
	It("makes libvirt log no error about the clone's files", func(ctx SpecContext) {
		configure(`quiet = ${booting}`)
		up(ctx, "quiet")
		name := clones("quiet")[0].Name
		Expect(fixture.TearDown(ctx, "quiet")).To(Succeed())
		Expect(leftovers("quiet")).To(BeEmpty())
		text, err := os.ReadFile(libvirtdLog)
		Expect(err).NotTo(HaveOccurred())
		for line := range strings.Lines(string(text)) {
			Expect(line).NotTo(ContainSubstring(name))
		}
	})
})
