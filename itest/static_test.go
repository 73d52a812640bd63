package itest

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/overcast-go/overcast/fixture"
)

// staticConfig is a host with the address that guests of lab-static have.
const staticConfig = `static_host {
	libvirtURL = "qemu:///system", libvirtBaseDomain = lab-static, networkDeviceId = my_nat_network
	ipLookupStrategy = static, static.ip = ${LAB_STATIC_IP}
}
`

// anotherMachine is one as far as locks go: it has none of this one's.
var anotherMachine = []string{"unshare", "--mount", "--uts", "sh", "-ec", `mount -t tmpfs lock /run/lock; hostname elsewhere; exec "$@"`, "sh"}

// eventLog is the log of what happens to all domains, as libvirtd reports it.
type eventLog struct {
	*gexec.Session
	domain string // whose start marks a moment
}

// libvirtsLog starts a log that ends with the spec.
func libvirtsLog() eventLog {
	GinkgoHelper()
	log := eventLog{domain: fmt.Sprintf("marks-log-%d", GinkgoParallelProcess())}
	define("<domain type='qemu'><name>" + log.domain + "</name><memory unit='MiB'>8</memory><os><type arch='x86_64'>hvm</type></os></domain>")
	var err error
	log.Session, err = gexec.Start(exec.Command("virsh", "-c", "qemu:///system", "event", "--all", "--loop"), nil, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { log.Kill().Wait(30 * time.Second) })
	log.marks()
	return log
}

// marks waits until the log has everything that has happened before the call.
func (l eventLog) marks() {
	GinkgoHelper()
	before := len(l.events(l.domain))
	Eventually(func() int { // the log may not have begun
		virsh("start", "--paused", l.domain)
		virsh("destroy", l.domain)
		return len(l.events(l.domain))
	}).WithTimeout(30 * time.Second).Should(BeNumerically(">", before))
}

// events returns the lifecycle events of the domains whose name begins with a text, such
// as "Started".
func (l eventLog) events(domain string) (events []string) {
	event := regexp.MustCompile(`event 'lifecycle' for domain '?` + regexp.QuoteMeta(domain) + `[^':]*'?: (\w+)`)
	for _, match := range event.FindAllStringSubmatch(string(l.Out.Contents()), -1) {
		events = append(events, match[1])
	}
	return events
}

// firstUp waits for the first of several runs that has its host.
func firstUp(runs []*runOfOne) (first *runOfOne) {
	GinkgoHelper()
	Eventually(func() (*runOfOne, error) {
		for _, r := range runs {
			if up, err := r.isUp(); up || err != nil {
				first = r
				return r, err
			}
		}
		return nil, nil
	}).WithTimeout(2 * time.Minute).ShouldNot(BeNil())
	return first
}

// expectOneAtATime checks libvirtd's own log: that number of clones ran, and never two
// at a time. A clone that was not let start has no event.
func expectOneAtATime(log eventLog, clones int) {
	GinkgoHelper()
	var running, started int
	Eventually(func() int {
		running, started = 0, 0
		for _, event := range log.events("overcast-static_host-") {
			switch event {
			case "Started":
				started++
				running++
			case "Stopped":
				running--
			}
			Expect(running).To(BeNumerically("<=", 1), "%s", log.Out.Contents())
		}
		return running
	}).WithTimeout(10 * time.Second).Should(BeZero())
	Expect(started).To(Equal(clones), "%s", log.Out.Contents())
}

// staticAddress is what specs claim that use the lab's static address.
const staticAddress = "static address"

var _ = Describe("a static address", Ordered, ContinueOnFailure, func() {
	BeforeEach(func() { claim(staticAddress) })

	It("is that of the guest's system", func(ctx SpecContext) {
		host := up(ctx, "static_host")
		Expect(host.HostName()).To(Equal(os.Getenv("LAB_STATIC_IP")))
		run(logIn(host), "touch /root/proof")
		Expect(fixture.TearDown(ctx, "static_host")).To(Succeed())
	})

	It("is used by one spec at a time in a suite of two processes, which boots the host once and restores it only for that spec", func() {
		said := failingSuite("exclusive", exclusiveConfig)
		Expect(said).To(ContainSubstring("10 Passed | 2 Failed"))
		Expect(said).To(ContainSubstring(`host "exclusive_static" has a static address and is shared by 2 processes, and this spec does not have exclusive use of it: add BeforeEach(hosts.Exclusive("exclusive_static"))`))
		Expect(said).To(ContainSubstring(`host "exclusive_static" is shared by 2 processes, and Pristine would change it for their specs: add BeforeEach(hosts.Exclusive("exclusive_static")) before BeforeEach(hosts.Pristine("exclusive_static"))`))
		Expect(leftovers("exclusive_static")).To(BeEmpty())
		Expect(leftovers("exclusive_own")).To(BeEmpty())
	})

	It("is used by one clone at a time, on one machine and across machines, also after a kill", func() {
		log := libvirtsLog()
		first := otherRun{config: staticConfig}.bringsUp("static_host")
		Expect(first.address()).To(Equal(os.Getenv("LAB_STATIC_IP")))

		By("naming the holder and the time if the run does not wait")
		impatient := staticConfig + "static_host.static.wait = 0\n"
		neighbour := otherRun{config: impatient}.bringsUp("static_host")
		Eventually(neighbour, time.Minute).Should(gexec.Exit(1))
		Expect(neighbour.Out).To(gbytes.Say(`static address 192\.168\.122\.50 is in use: static_host of process \d+ \(itest\.test in .*\), since .*static\.wait of 0s expired`))
		stranger := otherRun{config: impatient, via: anotherMachine}.bringsUp("static_host")
		Eventually(stranger, time.Minute).Should(gexec.Exit(1))
		Expect(stranger.Out).To(gbytes.Say(`static address 192\.168\.122\.50 is in use: domain overcast-static_host-\S+ \(static_host of process \d+ on linux-box\), since .*static\.wait of 0s expired`))

		By("giving it to one of those who wait at a time")
		waiting := []*runOfOne{
			first,
			otherRun{config: staticConfig}.bringsUp("static_host"),
			otherRun{config: staticConfig, via: anotherMachine}.bringsUp("static_host"),
		}
		Eventually(waiting[1].Out).WithTimeout(time.Minute).Should(gbytes.Say(`static_host: waiting for static address 192\.168\.122\.50, in use since .* by .*static_host of process \d+ `))
		Eventually(waiting[2].Out).WithTimeout(time.Minute).Should(gbytes.Say(`static_host: waiting for static address 192\.168\.122\.50, in use since .* by .*static_host of process \d+ `))
		boots := map[string]bool{}
		for turn := 1; len(waiting) > 0; turn++ {
			now := firstUp(waiting)
			waiting = slices.DeleteFunc(waiting, func(r *runOfOne) bool { return r == now })
			// The guest's side: it is a new one, and stays the one that answers.
			boot := strings.TrimSpace(run(guestAt(now.address()), "test ! -e /root/proof && touch /root/proof && cat /proc/sys/kernel/random/boot_id"))
			Expect(boots).NotTo(HaveKey(boot))
			boots[boot] = true
			for _, r := range waiting {
				Expect(r.isUp()).To(BeFalse())
			}
			Expect(strings.TrimSpace(run(guestAt(now.address()), "cat /root/proof /proc/sys/kernel/random/boot_id"))).To(Equal(boot))
			if turn == 2 {
				now.Kill() // what cleans up after it, is not its own
			} else {
				now.ends()
			}
		}
		Expect(boots).To(HaveLen(3))

		Eventually(leftovers).WithArguments("static_host").WithTimeout(30 * time.Second).Should(BeEmpty())
		expectOneAtATime(log, 3)
	})

	It("is used by one clone when several machines ask at the same time", func() {
		log := libvirtsLog()
		var all []*runOfOne
		for range 3 {
			all = append(all, otherRun{config: staticConfig, via: anotherMachine}.bringsUp("static_host"))
		}
		for turns := len(all); turns > 0; turns-- {
			now := firstUp(all)
			all = slices.DeleteFunc(all, func(r *runOfOne) bool { return r == now })
			for _, r := range all {
				Expect(r.isUp()).To(BeFalse())
			}
			now.ends()
		}
		Eventually(leftovers).WithArguments("static_host").WithTimeout(30 * time.Second).Should(BeEmpty())
		expectOneAtATime(log, 3)
	})

	It("is refused when another machine has it", func(ctx SpecContext) {
		image := imageDir + "/squatter.qcow2"
		Expect(exec.Command("cp", imageDir+"/lab-static.qcow2", image).Run()).To(Succeed())
		DeferCleanup(os.Remove, image)
		define(asAnother("lab-static", "squatter", imageDir+"/lab-static.qcow2", image))
		virsh("start", "squatter")
		DeferCleanup(func() { virsh("destroy", "squatter") })
		// This machine may remember another guest of that address.
		Expect(exec.Command("ip", "neighbour", "flush", "to", os.Getenv("LAB_STATIC_IP")).Run()).To(Succeed())
		guestAt(os.Getenv("LAB_STATIC_IP"))
		_, err := fixture.SetUp(ctx, "static_host")
		Expect(err).To(MatchError(fixture.ErrStaticAddressInUse))
		Expect(err).To(MatchError(MatchRegexp(`static address 192\.168\.122\.50 is in use: 52:54:\S+ answers ARP requests for it on virbr0, which is domain squatter`)))
		Expect(leftovers("static_host")).To(BeEmpty())

		By("also when this machine has it")
		virsh("destroy", "squatter")
		Expect(exec.Command("ip", "address", "add", os.Getenv("LAB_STATIC_IP")+"/32", "dev", "lo").Run()).To(Succeed())
		_, err = fixture.SetUp(ctx, "static_host")
		Expect(exec.Command("ip", "address", "delete", os.Getenv("LAB_STATIC_IP")+"/32", "dev", "lo").Run()).To(Succeed())
		Expect(err).To(MatchError(ContainSubstring("is in use: this machine has it on lo")))
		virsh("start", "squatter")
		guestAt(os.Getenv("LAB_STATIC_IP"))

		By("also when it answers to the hypervisor only")
		far := otherRun{via: elsewhere, config: strings.Replace(staticConfig, "qemu:///system", "qemu+ssh://user@linux-box/system", 1)}.bringsUp("static_host")
		Eventually(far, time.Minute).Should(gexec.Exit(1))
		Expect(far.Out).To(gbytes.Say(`static address 192\.168\.122\.50 is in use: it takes connections to port 22 from the hypervisor's machine`))
	})
})
