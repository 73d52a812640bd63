package itest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"libvirt.org/go/libvirtxml"

	"github.com/overcast-go/overcast/fixture"
)

// sameClient defines a base whose clones all send one DHCP client identifier.
// They have a guest agent, and one interface, on my_nat_network.
func sameClient(name, identifier string) {
	GinkgoHelper()
	define(asAnother("lab-agent", name, "quiet", "quiet lab.client="+identifier))
}

// asUser starts a process that may use libvirt, and may not send ARP requests.
var asUser = []string{"setpriv", "--reuid=user", "--regid=user", "--init-groups", "--"}

// outcome is how the set-up of a host ended.
type outcome struct {
	label, address string
	err            error
}

// setUpAtOnce sets hosts up at the same time, and tears them down with the spec.
func setUpAtOnce(ctx SpecContext, labels ...string) []outcome {
	GinkgoHelper()
	found := make([]outcome, len(labels))
	var all sync.WaitGroup
	for n, label := range labels {
		DeferCleanup(func(ctx SpecContext) { Expect(fixture.TearDown(ctx, label)).To(Succeed()) })
		all.Go(func() {
			found[n].label = label
			host, err := fixture.SetUp(ctx, label)
			if found[n].err = err; err == nil {
				found[n].address = host.HostName()
			}
		})
	}
	all.Wait()
	for _, o := range found {
		GinkgoWriter.Println(o.label, o.address, o.err)
	}
	return found
}

// identified fails unless both a login of its own and the shared one reach the machine with a
// UUID.
func identified(ctx context.Context, host *fixture.CloudHost, uuid string) error {
	GinkgoHelper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	const command = "cat /sys/class/dmi/id/product_uuid"
	for _, run := range []func() (fixture.Result, error){
		func() (fixture.Result, error) { return host.RunAs(ctx, fixture.Login{}, command) },
		func() (fixture.Result, error) { return host.Run(ctx, command) },
	} {
		result, err := run()
		if err != nil {
			return err
		}
		Expect(strings.TrimSpace(strings.ToLower(result.Stdout))).To(Equal(uuid))
	}
	return nil
}

// upBeforeAnother sets up the host first_NAME, and then starts a run that sets up the host
// second_NAME, with more configuration, whose system sends the same client identifier. It
// returns the first host with the UUID of its clone, and the run.
func upBeforeAnother(ctx context.Context, name, clientID, more string) (first *fixture.CloudHost, uuid string, second *runOfOne) {
	GinkgoHelper()
	base := "same-client-" + name
	sameClient(base, clientID)
	host := fmt.Sprintf(" { libvirtBaseDomain = %s, ipLookupStrategy = lease, addressTimeout = 10 minutes }\n", base)
	configure("%s", "first_"+name+" = ${guest}"+host)
	first = up(ctx, "first_"+name)
	uuid = strings.ToLower(only(clones("first_" + name)).UUID)
	return first, uuid, otherRun{config: "second_" + name + host + more}.bringsUp("second_" + name)
}

// useMachineOf makes the lab send to a clone what is for an address that several machines have. It
// is chance which of them is in the neighbour table otherwise.
func useMachineOf(address string, clone libvirtxml.Domain) {
	GinkgoHelper()
	setNeighbour(address, clone.Devices.Interfaces[0].MAC.Address, "virbr0")
	DeferCleanup(func() { _ = exec.Command("ip", "neighbour", "del", address, "dev", "virbr0").Run() }) // a flush may have removed it
}

var _ = Describe("clones with one DHCP client identifier", func() {
	for n, strategy := range []string{"lease", "agent", "arp", "auto"} {
		It("fail with the cause, or have addresses of their own: by "+strategy, func(ctx SpecContext) {
			base := "same-client-" + strategy
			sameClient(base, fmt.Sprintf("ff0a0b0c0%d", n))
			var labels, config []string
			for n := range 3 {
				labels = append(labels, fmt.Sprintf("same_%s_%d", strategy, n))
				config = append(config, fmt.Sprintf("%s = ${guest} { libvirtBaseDomain = %s, ipLookupStrategy = %s }", labels[n], base, strategy))
			}
			configure("%s", strings.Join(config, "\n"))
			addresses, known := map[string]bool{}, false
			for _, o := range setUpAtOnce(ctx, labels...) {
				if o.err == nil {
					Expect(addresses).NotTo(HaveKey(o.address))
					addresses[o.address] = true
					continue
				}
				Expect(o.err).To(MatchError(fixture.ErrAddressConflict))
				known = known || strings.Contains(o.err.Error(), "(ff:")
				Expect(o.err).To(MatchError(And(
					// The identifier is not known once the lease has moved on.
					MatchRegexp(`clones( of base domain "%s")? send the same DHCP client identifier( \(ff:0a:0b:0c:0%d\)|: )`, base, n),
					ContainSubstring("truncate -s 0 /etc/machine-id"))))
			}
			Expect(len(addresses)).To(BeNumerically("<", 3))

			if !known {
				return
			}
			// The danger is known from now on.
			said, code := doctor(fmt.Sprintf("nat_host { libvirtBaseDomain = %s, networkDeviceId = my_nat_network }", base))
			Expect(code).To(BeZero())
			Expect(said).To(MatchRegexp(`(?m)^WARN +nat_host: client identifier: clones of base domain "%s" with MAC addresses 52:54:\S+ and 52:54:\S+ have sent the same DHCP client identifier, ff:0a:0b:0c:0%d`, base, n))
			Expect(said).To(ContainSubstring("<dnsmasq:options><dnsmasq:option value='dhcp-ignore-clid'/></dnsmasq:options>"))
		})
	}

	for _, user := range []struct {
		name, strategy string
		via            []string
	}{
		{name: "root", strategy: "lease"},
		{name: "a user that may not send ARP requests", strategy: "auto", via: asUser},
	} {
		It("fail in processes of their own, or have addresses of their own: as "+user.name, func() {
			base := "same-client-of-" + strings.Fields(user.name)[0]
			sameClient(base, fmt.Sprintf("ff0b0b0c0%d", len(user.via)))
			config := fmt.Sprintf("same { libvirtBaseDomain = %s, ipLookupStrategy = %s, addressTimeout = 10 minutes }\n", base, user.strategy)
			var runs []*runOfOne
			for range 3 {
				runs = append(runs, otherRun{config: config, via: user.via}.bringsUp("same"))
			}
			addresses := map[string]bool{}
			for _, r := range runs {
				var up bool
				Eventually(func() bool {
					up, _ = r.isUp()
					return up || r.ExitCode() >= 0
				}).WithTimeout(3 * time.Minute).Should(BeTrue())
				if up {
					Expect(addresses).NotTo(HaveKey(r.address()))
					addresses[r.address()] = true
					continue
				}
				Expect(string(r.Out.Contents())).To(MatchRegexp(`address 192\.168\.122\.\d+ of domain overcast-same-\S+ belongs to (domain overcast-same-|another machine, MAC address )\S+.* base domain "%s" .*send the same DHCP client identifier`, base))
			}
			Expect(len(addresses)).To(BeNumerically("<", 3))
		})
	}

	It("do not run each other's commands when one that has failed is kept, also for a process that shares the host", func(ctx SpecContext) {
		first, own, second := upBeforeAnother(ctx, "kept", "ff0c0b0c01", "second_kept.keep = always\n")
		told, err := registry.Share("first_kept")
		Expect(err).NotTo(HaveOccurred())
		child := otherRun{config: `first_kept { libvirtURL = "qemu:///system", libvirtBaseDomain = same-client-kept, connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY} }`}.
			runs("TestUsingChild", childVariable+"=first_kept", sharedVariable+"="+string(told))
		DeferCleanup(func() {
			for _, c := range clones("second_kept") {
				virsh("destroy", c.Name)
			}
		})
		Eventually(second).WithTimeout(2 * time.Minute).Should(gexec.Exit(1))
		useMachineOf(first.HostName(), only(clones("second_kept")))
		Eventually(func() error { return identified(ctx, first, own) }).WithTimeout(2 * time.Minute).Should(MatchError(fixture.ErrAddressConflict))

		Eventually(func() string {
			child.asks("cat /sys/class/dmi/id/product_uuid")
			return string(child.Out.Contents())
		}).WithTimeout(2 * time.Minute).WithPolling(time.Second).Should(MatchRegexp(`address 192\.168\.122\.\d+ of domain overcast-first_kept-\S+ belongs to .*send the same DHCP client identifier`))
		for _, result := range regexp.MustCompile(`(?m)^result "(.*)\\n"`).FindAllStringSubmatch(string(child.Out.Contents()), -1) {
			Expect(result[1]).To(Equal(own))
		}
		child.ends()
	})

	It("name the conflict when one of them cuts off another that is up, also when it is gone", func(ctx SpecContext) {
		first, own, second := upBeforeAnother(ctx, "cut", "ff0d0d0d01", "")
		var failures []error
		attempt := func() {
			err := identified(ctx, first, own)
			GinkgoWriter.Println(err)
			// Without these, the guest was only slow.
			if errors.Is(err, fixture.ErrConnectionLost) || (err != nil && strings.Contains(err.Error(), "ssh to ")) {
				failures = append(failures, err)
			}
		}
		Eventually(func() int { attempt(); return second.ExitCode() }).WithTimeout(2 * time.Minute).Should(Equal(1))
		Expect(clones("second_cut")).To(BeEmpty(), "it is removed")
		for range 5 {
			attempt()
		}
		// The first may come long before libvirt lists the new lease, on a busy machine.
		for _, err := range failures[min(1, len(failures)):] {
			Expect(err).To(MatchError(fixture.ErrAddressConflict))
			Expect(err).To(MatchError(MatchRegexp(`address 192\.168\.122\.\d+ of domain overcast-first_cut-\S+ belongs to .*send the same DHCP client identifier`)))
		}
	})
})

var _ = Describe("an address that was found", func() {
	It("is refused if another machine answers there", func(ctx SpecContext) {
		image := imageDir + "/imposter.qcow2"
		Expect(exec.Command("cp", imageDir+"/lab-static.qcow2", image).Run()).To(Succeed())
		DeferCleanup(os.Remove, image)
		define(asAnother("lab-static", "imposter", imageDir+"/lab-static.qcow2", image, "lab.ip="+os.Getenv("LAB_STATIC_IP"), "lab.ip=192.168.122.60"))
		virsh("start", "imposter")
		DeferCleanup(func() { virsh("destroy", "imposter") })
		guestAt("192.168.122.60")
		const config = `
			nat_host { ipLookupStrategy = SSH, SSH.command = "echo 192.168.122.60 # {0}", connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY} }
		`
		near := otherRun{config: strings.Replace(seed("nat-network"), "qemu+ssh://user@linux-box/system", "qemu:///system", 1) + config}.bringsUp("nat_host")
		Eventually(near, 2*time.Minute).Should(gexec.Exit(1))
		Expect(string(near.Out.Contents())).To(MatchRegexp(`address 192\.168\.122\.60 of domain overcast-nat_host-\S+ belongs to domain imposter, MAC address 52:54:\S+: it answers ARP requests for it: give one of them another address`))

		By("also when only a login tells")
		far := otherRun{via: elsewhere, config: seed("nat-network") + config}.bringsUp("nat_host")
		Eventually(far, 2*time.Minute).Should(gexec.Exit(1))
		Expect(string(far.Out.Contents())).To(MatchRegexp(`address 192\.168\.122\.60 of domain overcast-nat_host-\S+ belongs to domain imposter, MAC address 52:54:\S+: the login reached it: `))
	})
})
