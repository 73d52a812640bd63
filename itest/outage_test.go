package itest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"github.com/overcast-go/overcast/fixture"
	registries "github.com/overcast-go/overcast/internal/host"
	. "github.com/overcast-go/overcast/matchers"
	"github.com/overcast-go/overcast/provider"
)

// registry has the hosts of this process.
var registry = registries.Default

// outageLimit is what calls under way are given: less than the time after which
// SSH notices by itself that a machine does not answer.
const outageLimit = 15 * time.Second

// callsUnderWay makes calls that do not end by themselves, and returns once they
// are under way; results has the error of each by its name.
func callsUnderWay(ctx context.Context, host *fixture.CloudHost) (results map[string]chan error) {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	endless := filepath.Join(dir, "endless")
	Expect(os.WriteFile(endless, nil, 0o666)).To(Succeed())
	Expect(os.Truncate(endless, 20<<30)).To(Succeed())
	Expect(host.Run(ctx, "kill -KILL $(pidof sftp-server) 2>/dev/null; truncate -s 20G /tmp/endless")).To(Equal(fixture.Result{}))
	port := unanswered(host)
	results = map[string]chan error{}
	begin := func(name string, call func() error) {
		ended := make(chan error, 1)
		results[name] = ended
		go func() { ended <- call() }()
	}
	begin("Run", func() error { _, err := host.Run(ctx, "sleep 1234"); return err })
	begin("RunAs", func() error { _, err := host.RunAs(ctx, fixture.Login{}, "sleep 5678"); return err })
	begin("DialContext", func() error { _, err := host.DialContext(ctx, "tcp", fmt.Sprintf(":%d", port)); return err })
	for _, command := range []string{"sleep 1234", "sleep 5678"} {
		Eventually(host).WithTimeout(time.Minute).Should(HaveProcess(ContainSubstring(command)).Within(10 * time.Second))
	}
	begin("Upload", func() error { return host.Upload(ctx, endless, "/dev/null") })
	begin("Download", func() error { return host.Download(ctx, "/tmp/endless", filepath.Join(dir, "copy")) })
	// They would keep the guest busy, and the connection with it.
	Eventually(host).WithTimeout(time.Minute).Should(RunCommand("set -- $(pidof sftp-server) && [ $# = 2 ] && kill -STOP $*").Within(10 * time.Second))
	return results
}

// unanswered returns a port of a host from which no answer comes: connecting to
// it takes for as long as one waits.
func unanswered(host *fixture.CloudHost) int {
	GinkgoHelper()
	const port = 81
	rule := []string{"INPUT", "-s", host.Address(), "-p", "tcp", "--sport", fmt.Sprint(port), "-j", "DROP"}
	out, err := exec.Command("iptables", append([]string{"-w", "-I"}, rule...)...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	DeferCleanup(func() { Expect(exec.Command("iptables", append([]string{"-w", "-D"}, rule...)...).Run()).To(Succeed()) })
	return port
}

// expectOutage wants all calls to end with an outage, and new ones, too.
func expectOutage(ctx context.Context, host *fixture.CloudHost, results map[string]chan error, outage error, how string) {
	GinkgoHelper()
	for name, ended := range results {
		var err error
		Eventually(ended).WithTimeout(outageLimit).Should(Receive(&err))
		GinkgoWriter.Println(name, "ended with", err)
		Expect(err).To(MatchError(outage), name)
		Expect(err).To(MatchError(ContainSubstring(how)), name)
		Expect(err).NotTo(MatchError(context.DeadlineExceeded), name)
	}
	for name, again := range map[string]func() error{
		"Run":         func() error { _, err := host.Run(ctx, "true"); return err },
		"DialContext": func() error { _, err := host.DialContext(ctx, "tcp", ":22"); return err },
	} {
		Expect(again()).To(And(MatchError(outage), MatchError(ContainSubstring(how))), name)
	}
	Expect(registry.Status(host.Label(), 1).String()).To(And(HavePrefix(host.Label()+": "+how), Not(ContainSubstring("running"))))
	Expect(registry.Diagnostics(ctx, host.Label(), "outage").String()).To(HavePrefix(host.Label() + ": " + how))
}

// powerOffDuringCalls powers a guest off, checks that all calls under way end with that,
// and returns the error of the call that has done it.
func powerOffDuringCalls(ctx context.Context, host *fixture.CloudHost) error {
	GinkgoHelper()
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	results := callsUnderWay(limited, host)
	soon, cancel := context.WithTimeout(ctx, outageLimit)
	defer cancel()
	_, err := host.Run(soon, "poweroff -f")
	Expect(err).To(MatchError(fixture.ErrHostStopped))
	expectOutage(ctx, host, results, fixture.ErrHostStopped, "shut off: the guest powered itself off")
	return err
}

var _ = Describe("a host whose machine does not run", func() {
	It("fails the calls under way when the guest powers itself off", func(ctx SpecContext) {
		configure(`off_host = ${guest}`)
		host := up(ctx, "off_host")
		err := powerOffDuringCalls(ctx, host)
		expectStopped(err, ContainSubstring("is shut off: the guest powered itself off"))
		Expect(InterceptGomegaFailures(func() { Eventually(host).WithTimeout(time.Minute).Should(BeReachableOnSSH()) })).
			To(ConsistOf(And(HavePrefix("No future change is possible."), ContainSubstring("the guest powered itself off"))))
	})

	It("fails the calls under way when an administrator pauses or destroys the domain, and serves calls again when it is resumed", func(ctx SpecContext) {
		configure(`dozing = ${guest}`)
		host := up(ctx, "dozing")
		clone := clones("dozing")[0].Name
		limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		results := callsUnderWay(limited, host)
		virsh("suspend", clone)
		expectOutage(ctx, host, results, fixture.ErrHostPaused, "paused by an administrator")
		_, err := host.Run(ctx, "true")
		Expect(err).To(MatchError(fixture.ErrHostPaused))
		Expect(err).To(MatchError(HaveSuffix("resume it (virsh -c 'qemu:///system' resume " + clone + ")")))
		Expect(host.Exited()).To(Succeed())

		Expect(InterceptGomegaFailures(func() { Eventually(host).WithTimeout(time.Second).Should(HaveFile("/etc/hostname")) })).
			To(ConsistOf(And(HavePrefix("Timed out after"), ContainSubstring("paused by an administrator"))))
		virsh("resume", clone)
		Eventually(host).WithTimeout(time.Minute).Should(HaveFile("/etc/hostname").Within(10 * time.Second))
		Expect(host.Run(ctx, "echo again")).To(Equal(fixture.Result{Stdout: "again\n"}))
		Expect(registry.Status(host.Label(), 1).String()).To(HavePrefix("dozing: up, running at "))

		results = callsUnderWay(limited, host)
		virsh("destroy", clone)
		expectOutage(ctx, host, results, fixture.ErrHostStopped, "shut off: a libvirt client destroyed it")
	})

	It("is paused while its pool is full, and serves calls again when that is corrected", func(ctx SpecContext) {
		dir := pool("narrow", "24m")
		configure(`narrow_host = ${guest} { overlayPool = narrow }`)
		host := up(ctx, "narrow_host")
		clone := clones("narrow_host")[0].Name
		limited, cancel := context.WithTimeout(ctx, 3*time.Minute)
		defer cancel()
		_, err := host.Run(limited, "dd if=/dev/urandom of=/root/fill bs=1M count=30 2>&1 && sync && sleep 1234")
		Expect(err).To(MatchError(fixture.ErrHostPaused))
		Expect(err).To(MatchError(ContainSubstring("no space is left in the pool: correct the cause, then resume it (virsh -c 'qemu:///system' resume " + clone + ")")))
		Expect(host.Exited()).To(Succeed())
		Expect(registry.Status(host.Label(), 1).String()).To(HavePrefix("narrow_host: paused: I/O error of disk "))

		virsh("resume", clone)
		Eventually(func() error { _, err := host.Run(limited, "sleep 1234"); return err }).WithTimeout(30*time.Second).Should(MatchError(fixture.ErrHostPaused), "it is still full")

		Expect(exec.Command("mount", "-o", "remount,size=256m", dir).Run()).To(Succeed())
		virsh("resume", clone)
		Eventually(host).WithTimeout(time.Minute).Should(RunCommand("sync && echo mended").WithStdout("mended\n").Within(10 * time.Second))
		Expect(registry.Status(host.Label(), 1).String()).To(HavePrefix("narrow_host: up, running at "))
	})

	It("has not stopped when its guest reboots, and has when its guest shuts itself down in order", func(ctx SpecContext) {
		configure(`rebooting = ${guest}`)
		host := up(ctx, "rebooting")
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := host.Run(limited, "reboot; sleep 1234")
		Expect(err).To(MatchError(ContainSubstring("ssh connection lost")))
		Expect(err).NotTo(MatchError(fixture.ErrHostStopped))
		Eventually(host).WithTimeout(2 * time.Minute).Should(BeReachableOnSSH().Within(10 * time.Second))
		Expect(host.Exited()).To(Succeed())

		limited, cancel = context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err = host.Run(limited, "poweroff; sleep 1234")
		Expect(err).To(MatchError(fixture.ErrHostStopped))
		expectStopped(err, ContainSubstring("is shut off: the guest powered itself off"))
	})

	It("does not fail a set-up while an administrator has paused it", func(ctx SpecContext) {
		configure(`late_host = ${guest} { addressTimeout = 10 minutes }`)
		var mu sync.Mutex
		var steps []string
		telling := fixture.WithProgress(ctx, func(step fixture.Progress) {
			mu.Lock()
			defer mu.Unlock()
			GinkgoWriter.Println(step)
			if !strings.HasPrefix(step.Step, provider.StepWaiting) { // for a guest that boots slowly, or for memory
				steps = append(steps, step.Step)
			}
		})
		clone, failed := settingUp(telling, "late_host")
		virsh("suspend", clone)
		Eventually(func() string { return registry.Status("late_host", 1).String() }).WithTimeout(10 * time.Second).
			Should(MatchRegexp(`^late_host: being set up, paused after .* \(by an administrator\), .*, paused by an administrator`))
		Consistently(failed).WithTimeout(time.Second).ShouldNot(Receive())
		virsh("resume", clone)
		Eventually(failed).WithTimeout(2 * time.Minute).Should(Receive(BeNil()))
		mu.Lock()
		defer mu.Unlock()
		Expect(steps).To(Equal([]string{provider.StepCloned, provider.StepStarted, provider.StepPaused, provider.StepResumed, provider.StepAddress, provider.StepReachable}))
	})

	It("is paused, resumed and stopped for other processes that share it", func(ctx SpecContext) {
		configure(`outside_host = ${guest}`)
		up(ctx, "outside_host")
		clone := clones("outside_host")[0].Name
		told, err := registry.Share("outside_host")
		Expect(err).NotTo(HaveOccurred())
		virsh("suspend", clone)
		child := otherRun{config: `outside_host { libvirtURL = "qemu:///system", libvirtBaseDomain = my_base_domain, connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY} }`}.
			runs("TestUsingChild", childVariable+"=outside_host", sharedVariable+"="+string(told))
		child.asks("echo here")
		Eventually(child).WithTimeout(time.Minute).Should(gbytes.Say(`paused by an administrator.*resume ` + clone))
		virsh("resume", clone)
		Eventually(func() string { child.asks("echo here"); return string(child.Out.Contents()) }).
			WithTimeout(time.Minute).WithPolling(time.Second).Should(ContainSubstring(`result "here\n" of outside_host: up, running at`))
		child.asks("sleep 1234")
		Eventually(fixture.Host("outside_host")).WithTimeout(time.Minute).Should(HaveProcess(ContainSubstring("sleep 1234")).Within(10 * time.Second))
		virsh("suspend", clone)
		Eventually(child).WithTimeout(outageLimit).Should(gbytes.Say(`"sleep 1234": .*paused by an administrator`))
		virsh("resume", clone)
		virsh("destroy", clone)
		child.asks("true")
		Eventually(child).WithTimeout(outageLimit).Should(gbytes.Say(`"true": .*shut off: a libvirt client destroyed it`))
		child.ends()
	})
})

// TestUsingChild runs the commands that it reads on a host of another process.
func TestUsingChild(t *testing.T) {
	host := joined(t)
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		result, err := host.Run(t.Context(), commands.Text())
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("result %q of %s\n", result.Stdout, registry.Status(host.Label(), 1))
	}
	if err := fixture.TearDown(t.Context(), host.Label()); err != nil {
		t.Fatal(err)
	}
}

// asks has TestUsingChild run a command.
func (r *runOfOne) asks(command string) {
	GinkgoHelper()
	_, err := fmt.Fprintln(r.stdin, command)
	Expect(err).NotTo(HaveOccurred())
}
