package itest

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/probe"
)

// network makes a libvirt network for the length of a spec: 192.168.N.0/24 on
// bridge virbrN, with a DHCP range from .10 to .LAST. rest is what else its
// definition has.
func network(name string, n, last int, lease, rest string) {
	GinkgoHelper()
	claim(fmt.Sprintf("network %d", n))
	path := filepath.Join(GinkgoT().TempDir(), name+".xml")
	Expect(os.WriteFile(path, fmt.Appendf(nil, `<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>%s</name><bridge name='virbr%d' stp='off' delay='0'/>
		<ip address='192.168.%[2]d.1' netmask='255.255.255.0'><dhcp><range start='192.168.%[2]d.10' end='192.168.%[2]d.%d'>%s</range></dhcp></ip>%s</network>`, name, n, last, lease, rest), 0o644)).To(Succeed())
	virsh("net-create", path)
	DeferCleanup(func() { virsh("net-destroy", name) })
}

// noPing has dnsmasq give out an address without a ping of 3 s before.
const noPing = `<dnsmasq:options><dnsmasq:option value='no-ping'/></dnsmasq:options>`

// only is the only element.
func only[T any](list []T) T {
	GinkgoHelper()
	Expect(list).To(HaveLen(1))
	return list[0]
}

var _ = Describe("clones one after the other", func() {
	It("have the MAC addresses, the UUID and the lease of the one before, by every strategy", func(ctx SpecContext) {
		network("single", 131, 11, "", noPing) // two addresses
		define(asAnother("lab-agent", "single-base", "my_nat_network", "single"))
		var addresses, uuids, macs []string
		for n, strategy := range []string{"lease", "lease", "auto", "arp", "SSH"} {
			label := fmt.Sprintf("single_%d", n)
			ssh := ""
			if strategy == "SSH" {
				ssh = `SSH { url = "ssh://user@linux-box?privateKeyFile="${user.home}"/.ssh/id_rsa&passphrase=bigsecret", command = "virsh -q -c qemu:///system net-dhcp-leases single --mac {0} | grep -o '192[.0-9]*'" }`
			}
			configure(`%s = ${guest} { libvirtBaseDomain = single-base, networkDeviceId = single, ipLookupStrategy = %s, connection = null, addressTimeout = 60, %s }`, label, strategy, ssh)
			host := up(ctx, label)
			clone := only(clones(label))
			addresses = append(addresses, host.HostName())
			uuids, macs = append(uuids, clone.UUID), append(macs, clone.Devices.Interfaces[0].MAC.Address)
			// What an earlier clone has left does not count: it is there.
			answers, err := probe.Answers(ctx, "virbr131", netip.MustParseAddr(host.HostName()), 0)
			Expect(err).NotTo(HaveOccurred())
			Expect(only(answers).String()).To(Equal(macs[0]), "%s", strategy)
			Expect(fixture.TearDown(ctx, label)).To(Succeed())
		}
		Expect(addresses).To(HaveEach(And(HavePrefix("192.168.131."), Equal(addresses[0]))))
		Expect(uuids).To(HaveEach(uuids[0]))
		Expect(macs).To(HaveEach(macs[0]))
	})

	It("are found by a lease that never ends", func(ctx SpecContext) {
		network("endless", 127, 20, "<lease expiry='0'/>", noPing)
		define(asAnother("lab-agent", "endless-base", "my_nat_network", "endless"))
		configure(`endless_host = ${guest} { libvirtBaseDomain = endless-base, networkDeviceId = endless, ipLookupStrategy = lease }`)
		var addresses []string
		for range 2 {
			addresses = append(addresses, up(ctx, "endless_host").HostName())
			Expect(fixture.TearDown(ctx, "endless_host")).To(Succeed())
		}
		Expect(addresses).To(HaveEach(And(HavePrefix("192.168.127."), Equal(addresses[0]))))
	})

	It("do not have those of one that was kept", func(ctx SpecContext) {
		configure(`kept_host = ${booting} { keep = always }, next_host = ${booting}`)
		kept := otherRun{config: `kept_host { libvirtBaseDomain = my_base_domain, networkDeviceId = my_nat_network, ipLookupStrategy = static, static.ip = "127.0.0.1", keep = always }`}.bringsUp("kept_host")
		kept.address()
		kept.ends()
		DeferCleanup(func() { virsh("destroy", only(clones("kept_host")).Name) })
		up(ctx, "next_host")
		before, after := only(clones("kept_host")), only(clones("next_host"))
		Expect(after.UUID).NotTo(Equal(before.UUID))
		for n := range before.Devices.Interfaces {
			Expect(after.Devices.Interfaces[n].MAC.Address).NotTo(Equal(before.Devices.Interfaces[n].MAC.Address))
		}
	})
})

var _ = Describe("a DHCP range that is used up", func() {
	It("is named by the error, and overcast doctor shows its usage", func(ctx SpecContext) {
		network("tiny", 132, 11, "", noPing) // two addresses
		define(asAnother("lab-agent", "tiny-base", "my_nat_network", "tiny"))
		configure(`
			tiny_0 = ${guest} { libvirtBaseDomain = tiny-base, networkDeviceId = tiny, ipLookupStrategy = lease, connection = null, addressTimeout = 60 }
			tiny_1 = ${tiny_0}
			tiny_2 = ${tiny_0} { addressTimeout = 20 }
		`)
		for _, o := range setUpAtOnce(ctx, "tiny_0", "tiny_1") {
			Expect(o.err).NotTo(HaveOccurred())
		}
		_, err := fixture.SetUp(ctx, "tiny_2")
		Expect(err).To(MatchError(And(MatchRegexp(`the DHCP range of network tiny is used up \(2 of 2 addresses leased, the first until \d\d:\d\d:\d\d\): give it a larger range`), Not(ContainSubstring("no DHCP request seen")))))

		said, code := doctor(`nat_host { libvirtBaseDomain = tiny-base, networkDeviceId = tiny }`)
		Expect(code).To(BeZero())
		Expect(said).To(MatchRegexp(`(?m)^ok +nat_host: network: tiny is active, 2 of 2 addresses leased$`))
		Expect(said).To(MatchRegexp(`(?m)^WARN +nat_host: DHCP range: the DHCP range of network tiny is used up`))
	})
})

var _ = Describe("a libvirt network whose dnsmasq is dead", func() {
	It("is named by the error and by overcast doctor, with a remedy that works", func(ctx SpecContext) {
		network("dead", 133, 20, "", noPing)
		define(asAnother("lab-agent", "dead-base", "my_nat_network", "dead"))
		const config = `{ libvirtBaseDomain = dead-base, networkDeviceId = dead, addressTimeout = 10 minutes }`
		said, code := doctor("nat_host " + config)
		Expect(code).To(BeZero())
		Expect(said).To(MatchRegexp(`(?m)^ok +nat_host: network: dead is active, 0 of 11 addresses leased$`))
		Expect(exec.Command("pkill", "-KILL", "-f", "dnsmasq/dead.conf").Run()).To(Succeed())

		said, code = doctor("nat_host " + config)
		Expect(code).To(Equal(1))
		Expect(said).To(MatchRegexp(`(?m)^FAILED +nat_host: network: no DHCP server listens on bridge virbr133 of network dead, although libvirt says that it is active: .*systemctl reload libvirtd`))

		configure(`dead_lease = ${guest} %s { ipLookupStrategy = lease }, dead_auto = ${guest} %[1]s`, config)
		for _, o := range setUpAtOnce(ctx, "dead_lease", "dead_auto") {
			Expect(o.err).To(MatchError(fixture.ErrAddressNotFound))
			Expect(o.err).To(MatchError(ContainSubstring("no DHCP server listens on bridge virbr133 of network dead")))
		}

		Expect(exec.Command("pkill", "-HUP", "-u", "root", "-x", "libvirtd").Run()).To(Succeed()) // systemctl reload
		Eventually(func() string {
			said, _ = doctor("nat_host " + config)
			return said
		}).WithTimeout(time.Minute).Should(MatchRegexp(`(?m)^ok +nat_host: network: dead is active`))
		Expect(up(ctx, "dead_lease").HostName()).To(HavePrefix("192.168.133."))
	})
})

var _ = Describe("a libvirt network whose dnsmasq hangs", func() {
	It("is named by the error", func(ctx SpecContext) {
		network("hung", 136, 20, "", noPing)
		define(asAnother("lab-agent", "hung-base", "my_nat_network", "hung"))
		Expect(exec.Command("pkill", "-STOP", "-f", "dnsmasq/hung.conf").Run()).To(Succeed())
		DeferCleanup(func() { Expect(exec.Command("pkill", "-CONT", "-f", "dnsmasq/hung.conf").Run()).To(Succeed()) })
		configure(`hung_lease = ${guest} %s { ipLookupStrategy = lease }, hung_auto = ${guest} %[1]s`,
			`{ libvirtBaseDomain = hung-base, networkDeviceId = hung, connection = null, addressTimeout = 10 minutes }`)
		for _, o := range setUpAtOnce(ctx, "hung_lease", "hung_auto") {
			Expect(o.err).To(MatchError(fixture.ErrAddressNotFound))
			Expect(o.err).To(MatchError(MatchRegexp(`the DHCP server on bridge virbr136 of network hung does not read the requests that it receives \(\d+ bytes wait\)`)))
			Expect(o.err).NotTo(MatchError(ContainSubstring("no DHCP request seen")))
		}
	})
})

var _ = Describe("a guest that does not talk to the hypervisor", func() {
	It("is found by ARP requests for all addresses of its bridge", fast, func(ctx SpecContext) {
		variant("silent-guest", "quiet", "quiet lab.silent")
		configure(`silent_host = ${guest} { libvirtBaseDomain = silent-guest, networkDeviceId = br0, ipLookupStrategy = arp, addressTimeout = 60 }`)
		host := up(ctx, "silent_host")
		Expect(host.HostName()).To(HavePrefix("192.168.124."))
		expectOnNetwork("silent_host", "br0", host.HostName())
	})

	It("is not found by a user that may not send them, and the error says so", func() {
		variant("silent-guest-too", "quiet", "quiet lab.silent")
		const config = `silent { libvirtBaseDomain = silent-guest-too, networkDeviceId = br0, ipLookupStrategy = arp, addressTimeout = 25 }`
		test := otherRun{config: config, via: asUser}.bringsUp("silent")
		Eventually(test, 2*time.Minute).Should(gexec.Exit(1))
		Expect(string(test.Out.Contents())).To(MatchRegexp(`the hypervisor's neighbour table has not seen 52:54:\S+: a guest that has not talked to this machine is not in the table, and this process may not send ARP requests to find it: run it as root \(or with CAP_NET_RAW\), or use ipLookupStrategy = agent, or SSH`))
	})
})

var _ = Describe("clones with one DHCP client identifier, on a network that ignores it", func() {
	It("have addresses of their own", func(ctx SpecContext) {
		network("ignorant", 134, 20, "", strings.Replace(noPing, "</dnsmasq:options>", "<dnsmasq:option value='dhcp-ignore-clid'/></dnsmasq:options>", 1))
		define(asAnother("lab-agent", "ignorant-base", "my_nat_network", "ignorant", "quiet", "quiet lab.client=ff0c0c0c0c"))
		var labels []string
		set := ""
		for n := range 3 {
			labels = append(labels, fmt.Sprintf("ignorant_%d", n))
			set += fmt.Sprintf("%s = ${guest} { libvirtBaseDomain = ignorant-base, networkDeviceId = ignorant }\n", labels[n])
		}
		configure("%s", set)
		addresses := map[string]bool{}
		for _, o := range setUpAtOnce(ctx, labels...) {
			Expect(o.err).NotTo(HaveOccurred())
			addresses[o.address] = true
		}
		Expect(addresses).To(HaveLen(3))
	})
})
