package itest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	"github.com/overcast-go/overcast/provider"
)

// variant defines a base that is my_base_domain but for some words.
func variant(name string, words ...string) {
	GinkgoHelper()
	text := regexp.MustCompile(`(?s)<uuid>.*?</uuid>|<mac address=.*?/>`).ReplaceAllString(virsh("dumpxml", "--inactive", "my_base_domain"), "")
	define(strings.NewReplacer(append([]string{"<name>my_base_domain</name>", "<name>" + name + "</name>"}, words...)...).Replace(text))
}

// expectStopped expects an error that says how a clone stopped, with text that
// matches.
func expectStopped(err error, text ...types.GomegaMatcher) {
	GinkgoHelper()
	GinkgoWriter.Println(err)
	Expect(err).To(MatchError(fixture.ErrHostStopped))
	for _, matcher := range text {
		Expect(err).To(MatchError(matcher))
	}
}

// settingUp sets a host up in the background and answers with the clone, once
// it runs, and how the set-up ends.
func settingUp(ctx context.Context, label string) (clone string, failed chan error) {
	GinkgoHelper()
	DeferCleanup(func(ctx SpecContext) { Expect(fixture.TearDown(ctx, label)).To(Succeed()) })
	failed = make(chan error, 1)
	go func() {
		_, err := fixture.SetUp(ctx, label)
		failed <- err
	}()
	Eventually(func() string {
		clone = regexp.MustCompile(`overcast-` + label + `-\S+`).FindString(virsh("list", "--name", "--state-running"))
		return clone
	}).WithTimeout(30 * time.Second).ShouldNot(BeEmpty())
	return clone, failed
}

var _ = Describe("set-up of a clone", func() {
	It("fails when the kernel panics, with the last lines of the console", func(ctx SpecContext) {
		variant("panicking", "quiet", "panic=-1 rdinit=/nowhere root=/dev/nowhere", "<on_reboot>restart</on_reboot>", "<on_reboot>destroy</on_reboot>")
		configure(`panics = ${guest} { libvirtBaseDomain = panicking, addressTimeout = 10 minutes }`)
		_, err := fixture.SetUp(ctx, "panics")
		Expect(err).To(MatchError(fixture.ErrAddressNotFound))
		expectStopped(err, MatchRegexp(`(?s)last lines of the console:\n    \| .*Kernel panic - not syncing: VFS: Unable to mount root fs`))
		Expect(leftovers("panics")).To(BeEmpty())
	})

	It("fails when QEMU dies, with the end of its log", func(ctx SpecContext) {
		configure(`dies = ${guest} { addressTimeout = 10 minutes }`)
		clone, failed := settingUp(ctx, "dies")
		Expect(exec.Command("pkill", "-ABRT", "-f", "guest="+clone).Run()).To(Succeed())
		var err error
		Eventually(failed).WithTimeout(30 * time.Second).Should(Receive(&err))
		expectStopped(err, Or(ContainSubstring("it crashed"), ContainSubstring("QEMU failed")), MatchRegexp(`(?s)last lines of QEMU's log:\n.*shutting down, reason=crashed`))
		Expect(leftovers("dies")).To(BeEmpty())
	})

	It("fails when the pool is full and the guest is paused", func(ctx SpecContext) {
		pool("cramped", "300k")
		configure(`cramped_host = ${guest} { overlayPool = cramped, addressTimeout = 10 minutes, connection = null, bootDelay = 10 minutes }`)
		_, err := fixture.SetUp(ctx, "cramped_host")
		Expect(err).To(MatchError(fixture.ErrHostPaused))
		Expect(err).To(MatchError(MatchRegexp(`paused: I/O error of disk .*-vda.qcow2: no space is left in the pool: correct the cause, then resume it \(virsh -c 'qemu:///system' resume overcast-cramped_host-\S+\)`)))
		Expect(leftovers("cramped_host")).To(BeEmpty())
	})

	It("fails when the guest powers off before the first login", func(ctx SpecContext) {
		configure(`lingering = ${guest} { bootDelay = 10 minutes }`)
		clone, failed := settingUp(ctx, "lingering")
		// The guest heeds the power button as soon as its acpid runs.
		Eventually(func() string {
			_ = exec.Command("virsh", "-q", "-c", "qemu:///system", "shutdown", clone).Run()
			return virsh("list", "--name")
		}).WithTimeout(90 * time.Second).WithPolling(time.Second).ShouldNot(ContainSubstring(clone))
		var err error
		Eventually(failed).WithTimeout(30 * time.Second).Should(Receive(&err))
		expectStopped(err, ContainSubstring("is shut off: the guest powered itself off"))
		Expect(leftovers("lingering")).To(BeEmpty())
	})

	It("reports the last lines of the console when it times out", func(ctx SpecContext) {
		variant("rootless", "quiet", "", "/var/lib/libvirt/images/my_base_domain.qcow2", imageDir+"/lab-two-disks-data.img", "type='qcow2'", "type='raw'")
		configure(`rootless_host = ${guest} { libvirtBaseDomain = rootless, addressTimeout = 15 }`)
		_, err := fixture.SetUp(ctx, "rootless_host")
		Expect(err).To(MatchError(And(ContainSubstring("addressTimeout of 15s expired"), MatchRegexp(`last lines of the console:\n    \|`))))
		Expect(leftovers("rootless_host")).To(BeEmpty())
	})

	It("is followed by a guest shutdown at teardown if the configuration asks for one", func(ctx SpecContext) {
		configure(`asked = ${guest} { shutdownTimeout = 60 }`)
		up(ctx, "asked")
		clone := clones("asked")[0].Name
		Expect(fixture.TearDown(ctx, "asked")).To(Succeed())
		Expect(exec.Command("grep", "-q", "reason=shutdown", "/var/log/libvirt/qemu/"+clone+".log").Run()).To(Succeed(), "and not reason=destroyed")
		Expect(leftovers("asked")).To(BeEmpty())
	})
})

// expectLost expects an error that says first that the connection was lost.
func expectLost(err error, label string) {
	GinkgoHelper()
	GinkgoWriter.Println(err)
	Expect(err.Error()).To(HavePrefix("setting up " + label + ": the connection to qemu:///system was lost ("))
	Expect(err).To(MatchError(fixture.ErrHypervisorNotReachable))
	Expect(err).NotTo(MatchError(fixture.ErrAddressNotFound))
	Expect(err).NotTo(MatchError(fixture.ErrNotReachable))
}

var _ = Describe("a lost connection to libvirtd", Serial, func() {
	It("fails set-up at once when libvirtd ends, and teardown reconnects", func(ctx SpecContext) {
		configure(`cut = ${guest} { addressTimeout = 10 minutes, libvirtBaseDomain = cut-base, networkDeviceId = null }`)
		define(strings.Replace(still, "<name>still<", "<name>cut-base<", 1))
		_, failed := settingUp(ctx, "cut")
		restartLibvirtd()
		var err error
		Eventually(failed).WithTimeout(30 * time.Second).Should(Receive(&err))
		expectLost(err, "cut")
		Expect(leftovers("cut")).To(BeEmpty(), "the set-up has cleaned up over a new connection")
	})

	It("is the cause of the error, not a missing guest agent", func(ctx SpecContext) {
		configure(`agentless = ${guest} { addressTimeout = 10 minutes, libvirtBaseDomain = lab-agent, ipLookupStrategy = agent }`)
		clone, failed := settingUp(ctx, "agentless")
		Eventually(func() string {
			out, _ := exec.Command("virsh", "-c", "qemu:///system", "domifaddr", clone, "--source", "agent").CombinedOutput()
			return string(out)
		}).WithTimeout(30 * time.Second).Should(ContainSubstring("QEMU guest agent is not connected"))
		restartLibvirtd()
		var err error
		Eventually(failed).WithTimeout(30 * time.Second).Should(Receive(&err))
		expectLost(err, "agentless")
		Expect(err.Error()).NotTo(ContainSubstring("agent is"))
		Expect(leftovers("agentless")).To(BeEmpty())
	})

	It("ends the pause between address and login", func(ctx SpecContext) {
		configure(`delayed = ${booting} { bootDelay = 10 minutes }`)
		_, failed := settingUp(ctx, "delayed")
		Eventually(func() string { return registry.Status("delayed", 0).Step }).WithTimeout(30 * time.Second).Should(Equal(provider.StepAddress))
		restartLibvirtd()
		var err error
		Eventually(failed).WithTimeout(30 * time.Second).Should(Receive(&err))
		expectLost(err, "delayed")
		Expect(leftovers("delayed")).To(BeEmpty())
	})

	It("does not prevent use of a host over SSH, and a host is watched again when libvirtd is back", func(ctx SpecContext) {
		configure(`orphan = ${guest}`)
		orphan := up(ctx, "orphan")
		state := func() string { return registry.Status("orphan", 0).State }
		DeferCleanup(startLibvirtd)
		killLibvirtd()
		Eventually(state).WithTimeout(30 * time.Second).Should(HavePrefix("unknown: the connection to qemu:///system was lost"))
		Expect(orphan.Run(ctx, "echo here")).To(Equal(fixture.Result{Stdout: "here\n"}))
		Expect(orphan.Exited()).To(Succeed())
		Expect(orphan).To(HaveFile("/etc/hostname").Within(10 * time.Second))
		startLibvirtd()
		Eventually(state).WithTimeout(30 * time.Second).Should(Equal(provider.StateRunning))

		_ = powerOffDuringCalls(ctx, orphan) // checked there
	})

	It("hides a stop of the guest only until libvirtd is back", func(ctx SpecContext) {
		configure(`orphan_off = ${guest}`)
		orphan := up(ctx, "orphan_off")
		DeferCleanup(startLibvirtd)
		killLibvirtd()
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := orphan.Run(limited, "poweroff -f; sleep 1234")
		Expect(err).To(MatchError(fixture.ErrHypervisorNotReachable))
		Expect(err).NotTo(MatchError(fixture.ErrHostStopped))
		startLibvirtd()
		Eventually(orphan.Exited).WithTimeout(30 * time.Second).Should(MatchError(fixture.ErrHostStopped))
		_, err = orphan.Run(ctx, "true")
		Expect(err).To(MatchError(fixture.ErrHostStopped))
	})

	It("is detected when libvirtd hangs", func(ctx SpecContext) {
		configure(`numb = ${guest} { addressTimeout = 10 minutes, libvirtBaseDomain = numb-base, networkDeviceId = null }`)
		define(strings.Replace(still, "<name>still<", "<name>numb-base<", 1))
		_, failed := settingUp(ctx, "numb")
		Expect(exec.Command("pkill", "-STOP", "-u", "root", "-x", "libvirtd").Run()).To(Succeed())
		DeferCleanup(func() { _ = exec.Command("pkill", "-CONT", "-u", "root", "-x", "libvirtd").Run() })
		// Only then can anything be cleaned up.
		time.AfterFunc(25*time.Second, func() { _ = exec.Command("pkill", "-CONT", "-u", "root", "-x", "libvirtd").Run() })
		var err error
		Eventually(failed).WithTimeout(90 * time.Second).Should(Receive(&err))
		expectLost(err, "numb")
		Expect(err).To(MatchError(ContainSubstring("it has not answered for 10 seconds")))
		Expect(leftovers("numb")).To(BeEmpty())
	})
})

var _ = Describe("a libvirtd that is killed while a clone is created", Serial, func() {
	It("leaves nothing after the teardown at any moment", func(ctx SpecContext) {
		// A libvirtd that is killed leaves the sockets of serial ports, which
		// libvirt cannot remove: none here.
		defineEverything("shaky-base", `<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>`, "<serial type='unix'>", "<serial type='pty'>",
			fmt.Sprintf("<source mode='bind' path='%s/shaky-base-serial.sock'/>", imageDir), "")
		configure(`%s`, `shaken = ${booting}, shaken_too = ${booting} { libvirtBaseDomain = shaky-base }`)
		before := belongings()
		for n := range 8 {
			label := []string{"shaken", "shaken_too"}[n%2]
			over := make(chan error, 1)
			go func() {
				_, err := fixture.SetUp(ctx, label)
				over <- err
			}()
			select {
			case err := <-over:
				over <- err
			case <-time.After(rand.N(700 * time.Millisecond)):
			}
			restartLibvirtd()
			var err error
			Eventually(over).WithTimeout(90 * time.Second).Should(Receive(&err))
			GinkgoWriter.Println("set-up ended with", err)
			Expect(fixture.TearDown(ctx, label)).To(Succeed())
			Expect(leftovers(label)).To(BeEmpty())
			Expect(belongings()).To(ConsistOf(before))
			Expect(exec.Command("pgrep", "-f", "guest=overcast-"+label+"-").Run()).NotTo(Succeed(), "no QEMU runs that libvirtd has lost sight of")
		}
	})
})
