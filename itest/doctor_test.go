package itest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/overcast-go/overcast/fixture"
)

// overcastCommand is the command, built once in a process.
var overcastCommand = sync.OnceValues(func() (string, error) { return gexec.Build("../cmd/overcast") })

// doctor runs the check of a host that is configured so, and answers with what
// it prints and its exit code.
func doctor(config string, via ...string) (string, int) {
	GinkgoHelper()
	command, err := overcastCommand()
	Expect(err).NotTo(HaveOccurred())
	dir := GinkgoT().TempDir()
	Expect(os.WriteFile(filepath.Join(dir, "overcast.conf"), []byte(config), 0o644)).To(Succeed())
	args := append(via, command, "doctor", "nat_host")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "OVERCAST_SET=")
	session, err := gexec.Start(cmd, GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	Eventually(session, 2*time.Minute).Should(gexec.Exit())
	return string(session.Out.Contents()), session.ExitCode()
}

// brokenBase is a definition that breaks one thing.
func brokenBase(devices string) string {
	return `<domain type='qemu'><name>broken-base</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os><devices>` + devices + `</devices></domain>`
}

const (
	goodDisk    = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/my_base_domain.qcow2'/><target dev='vda'/></disk>`
	goodNetwork = `<interface type='network'><source network='my_nat_network'/></interface>`
)

var _ = Describe("overcast doctor", func() {
	// Serial: another spec may create an overlay of a nat_host.
	It("reports no failure for the examples of the documentation", Serial, func() {
		for _, example := range []string{"nat-network", "bridged-network"} {
			said, code := doctor(strings.Replace(seed(example), "bridged_host", "nat_host", 1))
			Expect(code).To(BeZero())
			for _, link := range []string{"configuration", "login", "connection", "base domain", "permissions", "devices", "disks", "pool", "firmware", "TPM", "memory", "console", "network", "look-up host", "look-up command", "reach"} {
				Expect(said).To(MatchRegexp(`(?m)^ok +nat_host: %s: `, link))
			}
			Expect(said).NotTo(Or(ContainSubstring("FAILED"), ContainSubstring("bigsecret")))
		}
		Expect(leftovers("nat_host")).NotTo(ContainElement(HaveSuffix(".qcow2")), "doctor creates no overlay")
	})

	for _, e := range []struct {
		link, breaking string
		with           string // added to the seed's example
		define         string // a base domain, broken-base
		via            []string
		says           string
	}{
		{link: "configuration", breaking: "a misspelled key", with: `nat_host.netwrkDeviceId = x`, says: `unknown key "netwrkDeviceId".*correct that line`},
		{link: "login", breaking: "a missing key file", with: `nat_host.connection.url = "ssh://root@{0}?privateKeyFile=/nowhere/key"`, says: `/nowhere/key does not exist: check privateKeyFile`},
		{link: "connection", breaking: "an unknown host name", with: `nat_host.libvirtURL = "qemu+ssh://user@nowhere/system"`, says: `: name: .*check the name of the machine`},
		{link: "connection", breaking: "a closed port", with: `nat_host.libvirtURL = "qemu+ssh://user@linux-box:23/system"`, says: `: port: .*listens on that port`},
		{link: "connection", breaking: "an unknown host key", with: `nat_host.libvirtURL = "qemu+ssh://user@192.168.124.1/system"`, says: `: host key: .*compare the key`},
		{link: "connection", breaking: "a refused account", with: `nat_host.libvirtURL = "qemu+ssh://nobody@linux-box/system"`, says: `: login: .*ssh-add`},
		{link: "connection", breaking: "an account without access to the socket", with: `nat_host.libvirtURL = "qemu+ssh://dhcp-query-user@dhcp-box/system"`, says: `: socket permission: .*group libvirt`},
		{link: "connection", breaking: "a stopped libvirtd", with: `nat_host.libvirtURL = "qemu+unix:///system?socket=/run/nowhere"`, says: `: daemon: .*start it`},
		{link: "permissions", breaking: "a read-only socket", with: `nat_host.libvirtURL = "qemu+unix:///system?socket=/run/libvirt/libvirt-sock-ro"`, says: `operation forbidden.*read-only access: connect to libvirt's read-write socket`},
		{link: "base domain", breaking: "missing", with: `nat_host.libvirtBaseDomain = nowhere`, says: `does not exist at .*check libvirtBaseDomain`},
		{link: "disks", breaking: "a missing file", with: `nat_host.libvirtBaseDomain = broken-base`,
			define: brokenBase(`<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/lost.qcow2'/><target dev='vda'/></disk>` + goodNetwork), says: `lost\.qcow2.*check that the file exists`},
		{link: "disks", breaking: "no disks", with: `nat_host.libvirtBaseDomain = broken-base`, define: brokenBase(goodNetwork), says: `has no disks to clone: give it a disk`},
		{link: "pool", breaking: "missing", with: `nat_host.overlayPool = nowhere`, says: `"nowhere" does not exist: choose one of those that virsh pool-list`},
		{link: "devices", breaking: "passed through", with: `nat_host.libvirtBaseDomain = broken-base`, define: brokenBase(goodDisk + goodNetwork + `<hostdev mode='subsystem' type='usb' managed='yes'><source><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>`), says: `has a USB device .*detach it`},
		{link: "memory", breaking: "more than the hypervisor has", with: `nat_host.libvirtBaseDomain = broken-base`, define: strings.Replace(brokenBase(goodDisk+goodNetwork), "<memory unit='MiB'>32</memory>", "<memory unit='TiB'>4</memory>", 1), says: `it can never fit: give the base domain less <memory>`},
		{link: "network", breaking: "not connected to the base domain", with: `nat_host.networkDeviceId = br7`, says: `no interface on "br7".* \(it is on .*check networkDeviceId`},
		{link: "network", breaking: "missing", with: `nat_host { libvirtBaseDomain = broken-base, networkDeviceId = lost }`,
			define: brokenBase(goodDisk + `<interface type='network'><source network='lost'/></interface>`), says: `"lost" does not exist .*virsh net-define`},
		{link: "network", breaking: "a missing bridge", with: `nat_host { libvirtBaseDomain = broken-base, networkDeviceId = br7 }`,
			define: brokenBase(goodDisk + `<interface type='bridge'><source bridge='br7'/></interface>`), says: `no bridge "br7" .*ip link add`},
		{link: "look-up host", breaking: "a refused login", with: `nat_host.SSH.url = "ssh://nobody@dhcp-box"`, says: `login: user "nobody" was refused.*check SSH.url`},
		{link: "look-up command", breaking: "a missing file", with: `nat_host.SSH.command = "grep {0} /var/lib/dnsmasq/nowhere"`, says: `prints an error .*nowhere.*correct the command`},
		{link: "look-up command", breaking: "output for any MAC address", with: `nat_host.SSH.command = "echo 10.0.0.9 # {0}"`, says: `prints "10.0.0.9" .*must search for \{0\}`},
		{link: "look-up", breaking: "an agent without a channel", with: `nat_host.ipLookupStrategy = agent`, says: `has no channel for a guest agent: add one`},
		{link: "reach", breaking: "a gateway with another host key", with: `nat_host { ipLookupStrategy = lease, SSH.url = "ssh://user@linux-box?hostKey=SHA256:` + strings.Repeat("A", 43) + `" }`,
			says: `my_nat_network are reached through the hypervisor's machine: .*make this work: ssh linux-box true; or set reach = direct`},
		{link: "/dev/kvm", breaking: "not accessible for QEMU", with: `nat_host.libvirtURL = "qemu:///system"`,
			via:  []string{"unshare", "--mount", "sh", "-ec", `mount -t tmpfs dev /dev; touch /dev/kvm; chmod 600 /dev/kvm; exec "$@"`, "sh"},
			says: `five seconds and more .*usermod -aG kvm libvirt-qemu`},
	} {
		It("reports the failed check and what to do: "+e.link+", "+e.breaking, func() {
			config := seed("nat-network") + "\n" + e.with + "\n"
			if e.define != "" {
				name := "broken-" + strings.ReplaceAll(e.link+" "+e.breaking, " ", "-") // specs run beside each other
				define(strings.Replace(e.define, "broken-base", name, 1))
				config = strings.Replace(config, "broken-base", name, 1)
			}
			said, code := doctor(config, e.via...)
			Expect(code).To(Equal(1))
			Expect(said).To(MatchRegexp(`(?m)^FAILED  nat_host: %s: .*%s`, e.link, e.says))
			Expect(strings.Count(said, "FAILED")).To(Equal(1))
			Expect(said).NotTo(ContainSubstring("bigsecret"))
		})
	}

	It("ignores a gateway that is not needed", func() {
		for _, with := range []string{`networkDeviceId = my_routed_network`, `reach = direct`} {
			said, code := doctor(seed("nat-network") + "\nnat_host { ipLookupStrategy = lease, SSH.url = \"ssh://user@linux-box?hostKey=SHA256:" + strings.Repeat("A", 43) + "\", " + with + " }\n")
			Expect(code).To(BeZero())
			Expect(said).NotTo(ContainSubstring("FAILED"))
			Expect(strings.Contains(said, "reach: directly only: ")).To(Equal(with != "reach = direct"))
		}
	})

	It("reports the failed check and what to do: base domain, running", func() {
		define(`<domain type='qemu'><name>patient</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>`)
		virsh("start", "--paused", "patient")
		DeferCleanup(func() { virsh("destroy", "patient") })
		said, code := doctor(seed("nat-network") + "\nnat_host.libvirtBaseDomain = patient\n")
		Expect(code).To(Equal(1))
		Expect(said).To(MatchRegexp(`(?m)^FAILED  nat_host: base domain: .*is paused.*shut it off first`))
	})

	It("reports the failed check and what to do: network, inactive", func() {
		path := filepath.Join(GinkgoT().TempDir(), "asleep.xml")
		Expect(os.WriteFile(path, []byte(`<network><name>asleep</name><bridge name='virbr8'/></network>`), 0o644)).To(Succeed())
		virsh("net-define", path)
		DeferCleanup(func() { virsh("net-undefine", "asleep") })
		define(strings.Replace(brokenBase(goodDisk+`<interface type='network'><source network='asleep'/></interface>`), "broken-base", "asleep-base", 1))
		said, code := doctor(seed("nat-network") + "\nnat_host { libvirtBaseDomain = asleep-base, networkDeviceId = asleep }\n")
		Expect(code).To(Equal(1))
		Expect(said).To(MatchRegexp(`(?m)^FAILED  nat_host: network: network "asleep" is not active: start it`))
	})

	It("fails for a pool without room for the overlays, as set-up does", func(ctx SpecContext) {
		pool("tiny", "200k")
		said, code := doctor(seed("nat-network") + "\nnat_host.overlayPool = tiny\n")
		Expect(code).To(Equal(1))
		Expect(said).To(MatchRegexp(`(?m)^FAILED  nat_host: pool: pool tiny is full: it has 0\.\d MiB free, .*set overlayPool to another pool`))
		configure(`tiny_host = ${guest} { overlayPool = tiny }`)
		_, err := fixture.SetUp(ctx, "tiny_host")
		Expect(err).To(MatchError(ContainSubstring("pool tiny is full: ")))
		Expect(leftovers("tiny_host")).To(BeEmpty())
	})

	It("warns of a pool that a clone can fill, of a missing console, and of a look-up that has only ARP", func() {
		pool("small", "2M")
		path := filepath.Join(GinkgoT().TempDir(), "plain.xml")
		Expect(os.WriteFile(path, []byte(`<network><name>plain</name><bridge name='virbr9' stp='off' delay='0'/></network>`), 0o644)).To(Succeed())
		virsh("net-create", path)
		DeferCleanup(func() { virsh("net-destroy", "plain") })
		define(strings.Replace(brokenBase(goodDisk+`<interface type='network'><source network='plain'/></interface>`), "broken-base", "bare-base", 1))
		said, code := doctor(`nat_host { libvirtBaseDomain = bare-base, overlayPool = small }`)
		Expect(said).To(MatchRegexp(`(?m)^WARN    nat_host: pool: pool small has \d\.\d MiB free, and the overlays of one clone can grow to \S+ MiB`))
		Expect(said).To(MatchRegexp(`(?m)^WARN    nat_host: console: base domain "bare-base" has no serial console, .*add <serial type='pty'/>`))
		Expect(said).To(MatchRegexp(`(?m)^WARN    nat_host: look-up: only ARP requests can find the address`))
		Expect(code).To(BeZero(), said)
	})
})

var _ = Describe("overcast doctor of a base domain with firmware and TPM", Serial, func() {
	for kind, firmware := range map[string]string{"an explicit loader": explicitFirmware, "firmware that libvirt selects": selectedFirmware} {
		It("takes the steps of a set-up without creating anything, with "+kind, func() {
			defineEverything("whole", firmware)
			before, err := os.Stat(imageDir)
			Expect(err).NotTo(HaveOccurred())
			owned, pools := belongings(), virsh("pool-list", "--all", "--name")
			said, code := doctor(`nat_host { libvirtBaseDomain = whole, networkDeviceId = my_nat_network }`)
			Expect(code).To(BeZero(), said)
			Expect(said).To(MatchRegexp(`(?m)^ok      nat_host: firmware: UEFI, with a copy of the variables in ` + nvramDir + `/whole_VARS\.fd`))
			Expect(said).To(MatchRegexp(`(?m)^ok      nat_host: TPM: emulated, with a copy of the state in ` + tpmDir + `/\S+/tpm2`))
			Expect(said).NotTo(ContainSubstring("FAILED"))
			after, err := os.Stat(imageDir)
			Expect(err).NotTo(HaveOccurred())
			Expect(after.ModTime()).To(Equal(before.ModTime()), "no file was created in the pool")
			Expect(belongings()).To(Equal(owned))
			Expect(virsh("pool-list", "--all", "--name")).To(Equal(pools))
		})
	}
})
