package itest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
)

// configure adds to the configuration for the length of a spec.
func configure(format string, args ...any) {
	GinkgoT().Setenv("OVERCAST_SET", fmt.Sprintf(format, args...))
}

var _ = Describe("set-up", func() {
	// The error has the reason, and nothing is left.
	refused := func(ctx SpecContext, label string) error {
		GinkgoHelper()
		_, err := fixture.SetUp(ctx, label)
		Expect(err).To(HaveOccurred())
		Expect(leftovers(label)).To(BeEmpty())
		_, notUp := fixture.Lookup(label)
		Expect(notUp).To(MatchError(fixture.ErrNotSetUp))
		GinkgoWriter.Println(err)
		return err
	}

	It("refuses a base domain that does not exist", func(ctx SpecContext) {
		configure(`lost = ${guest} { libvirtBaseDomain = "my_base_domian" }`)
		err := refused(ctx, "lost")
		Expect(err).To(MatchError(fixture.ErrBaseDomainMissing))
		Expect(err).To(MatchError(And(
			ContainSubstring(`base domain "my_base_domian" does not exist at qemu:///system`),
			ContainSubstring(`did you mean "my_base_domain"?`))))
	})

	It("refuses a base domain that is running", func(ctx SpecContext) {
		define(`<domain type='qemu'><name>busy</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>`)
		virsh("start", "--paused", "busy")
		DeferCleanup(func() { virsh("destroy", "busy") })
		configure(`impatient = ${guest} { libvirtBaseDomain = busy }`)
		err := refused(ctx, "impatient")
		Expect(err).To(MatchError(fixture.ErrBaseDomainRunning))
		Expect(err).To(MatchError(And(ContainSubstring(`"busy"`), ContainSubstring("is paused"), ContainSubstring("virsh -c 'qemu:///system' destroy 'busy'"))))
	})

	It("refuses a base domain without disks", func(ctx SpecContext) {
		define(`<domain type='qemu'><name>bare</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>`)
		configure(`bare_host = ${guest} { libvirtBaseDomain = bare }`)
		Expect(refused(ctx, "bare_host")).To(MatchError(ContainSubstring(`base domain "bare" has no disks to clone`)))
	})

	It("refuses a network that the base domain is not connected to", func(ctx SpecContext) {
		configure(`astray = ${guest} { networkDeviceId = br7 }`)
		Expect(refused(ctx, "astray")).To(MatchError(And(ContainSubstring(`"br7"`), ContainSubstring("my_nat_network, my_routed_network"))))
	})

	It("refuses a base domain with several networks if the configuration names none", func(ctx SpecContext) {
		configure(`torn = ${guest} { networkDeviceId = null }`)
		Expect(refused(ctx, "torn")).To(MatchError(ContainSubstring("set networkDeviceId to one of them")))
	})

	It("refuses a disk whose file does not exist", func(ctx SpecContext) {
		define(`<domain type='qemu'><name>hollow</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
			<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/lost.qcow2'/><target dev='vda'/></disk>
			<interface type='network'><source network='my_nat_network'/></interface></devices></domain>`)
		configure(`hollow_host = ${guest} { libvirtBaseDomain = hollow }`)
		Expect(refused(ctx, "hollow_host")).To(MatchError(ContainSubstring("lost.qcow2")))
	})

	twoPools := func(name, dir string) string {
		return `<domain type='qemu'><name>` + name + `</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
			<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/my_base_domain.qcow2'/><target dev='vda'/></disk>
			<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='` + dir + `/data.img'/><target dev='vdb'/></disk>
			<interface type='network'><source network='my_nat_network'/></interface></devices></domain>`
	}

	It("fails before it creates an overlay if the pool of the second disk is full", func(ctx SpecContext) {
		dir := fullPool("brimming")
		define(twoPools("brimming-base", dir))
		configure(`brimming_host = ${guest} { libvirtBaseDomain = brimming-base }`)
		Expect(refused(ctx, "brimming_host")).To(MatchError(ContainSubstring("pool brimming is full: it has 0.1 MiB free, and the overlays of a clone need at least 0.2 MiB: free space there")))
		Expect(os.ReadDir(dir)).To(HaveLen(1), "nothing but the base's disk")
	})

	It("removes the first overlay if the second cannot be created", func(ctx SpecContext) {
		dir := pool("frozen", "2M")
		Expect(os.WriteFile(filepath.Join(dir, "data.img"), make([]byte, 192<<10), 0o600)).To(Succeed())
		virsh("pool-refresh", "frozen")
		Expect(exec.Command("mount", "-o", "remount,ro", dir).Run()).To(Succeed())
		define(twoPools("frozen-base", dir))
		configure(`frozen_host = ${guest} { libvirtBaseDomain = frozen-base }`)
		Expect(refused(ctx, "frozen_host")).To(MatchError(And(ContainSubstring("-vdb.qcow2 in pool frozen over "+dir+"/data.img: "), ContainSubstring("Read-only file system"))))
		Expect(os.ReadDir(dir)).To(HaveLen(1), "nothing but the base's disk")
	})

	It("fails if QEMU does not start", func(ctx SpecContext) {
		define(`<domain type='qemu'><name>broken</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type><kernel>/nowhere/vmlinux</kernel></os>
			<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/my_base_domain.qcow2'/><target dev='vda'/></disk>
			<interface type='network'><source network='my_nat_network'/></interface></devices></domain>`)
		configure(`broken_host = ${guest} { libvirtBaseDomain = broken }`)
		Expect(refused(ctx, "broken_host")).To(MatchError(And(ContainSubstring("starting domain overcast-broken_host-"), ContainSubstring("/nowhere/vmlinux"))))
	})

	It("leaves nothing if libvirt does not define or start the clone", Serial, func(ctx SpecContext) {
		const base = `<domain type='qemu'><name>%s</name><memory unit='MiB'>32</memory>
			<os><type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' type='pflash'>%s</loader><nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/></os><features><acpi/></features>
			<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/my_base_domain.qcow2'/><target dev='vda'/></disk></devices></domain>`
		define(fmt.Sprintf(base, "undefinable", "/usr/share/OVMF/OVMF_CODE_4M.fd"))
		define(fmt.Sprintf(base, "unsound", "/nowhere/CODE.fd"))
		before := belongings()
		configure(`%s`, `undefinable_host = ${booting} { libvirtBaseDomain = undefinable, networkDeviceId = null }
			unsound_host = ${booting} { libvirtBaseDomain = unsound, networkDeviceId = null }`)
		Expect(refused(ctx, "unsound_host")).To(MatchError(And(ContainSubstring("starting domain overcast-unsound_host-"), ContainSubstring("/nowhere/CODE.fd"))))
		Expect(belongings()).To(Equal(before))

		// libvirt has nowhere to put a definition.
		Expect(exec.Command("mount", "-t", "tmpfs", "-o", "ro", "none", "/etc/libvirt/qemu").Run()).To(Succeed())
		err := func() error {
			defer exec.Command("umount", "/etc/libvirt/qemu").Run()
			return refused(ctx, "undefinable_host")
		}()
		Expect(err).To(MatchError(And(ContainSubstring("starting domain overcast-undefinable_host-"), ContainSubstring("defining the domain: libvirt: "), ContainSubstring("Read-only file system"))))
		Expect(belongings()).To(Equal(before))
	})

	It("refuses a base domain that is saved", Serial, func(ctx SpecContext) {
		define(`<domain type='qemu'><name>asleep</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>`)
		virsh("start", "asleep")
		virsh("managedsave", "asleep")
		DeferCleanup(func() { virsh("managedsave-remove", "asleep") })
		configure(`asleep_host = ${guest} { libvirtBaseDomain = asleep }`)
		err := refused(ctx, "asleep_host")
		Expect(err).To(MatchError(fixture.ErrBaseDomainRunning))
		Expect(err).To(MatchError(ContainSubstring("virsh -c 'qemu:///system' managedsave-remove 'asleep'")))
	})

	It("refuses a pool that cannot contain overlays", func(ctx SpecContext) {
		configure(`poolless = ${guest} { overlayPool = nowhere }`)
		Expect(refused(ctx, "poolless")).To(MatchError(ContainSubstring(`overlayPool "nowhere" does not exist`)))
	})

	It("fails if the guest has no address in time", func(ctx SpecContext) {
		// A disk without a system: the guest never asks for an address.
		define(`<domain type='qemu'><name>mute</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
			<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/lab-two-disks-data.img'/><target dev='vda'/></disk>
			<interface type='network'><source network='my_nat_network'/></interface></devices></domain>`)
		configure(`mute_host = ${guest} { libvirtBaseDomain = mute, addressTimeout = 2 }`)
		err := refused(ctx, "mute_host")
		Expect(err).To(MatchError(fixture.ErrAddressNotFound))
		Expect(err).To(MatchError(And(ContainSubstring("libvirt network my_nat_network knows no lease"), ContainSubstring("addressTimeout of 2s expired"))))
	})

	It("fails at once when the domain stops before it has an address", func(ctx SpecContext) {
		configure(`doomed = ${guest} { addressTimeout = 10 minutes }`)
		failed := make(chan error)
		go func() {
			_, err := fixture.SetUp(ctx, "doomed")
			failed <- err
		}()
		var running string
		Eventually(func() string {
			running = regexp.MustCompile(`overcast-doomed-\S+`).FindString(virsh("list", "--name", "--state-running"))
			return running
		}).WithTimeout(30 * time.Second).ShouldNot(BeEmpty())
		virsh("destroy", running)
		var err error
		Eventually(failed).WithTimeout(30 * time.Second).Should(Receive(&err))
		Expect(err).To(MatchError(fixture.ErrAddressNotFound))
		Expect(err).To(MatchError(ContainSubstring("a libvirt client destroyed it")))
		Expect(err).To(MatchError(fixture.ErrHostStopped))
		Expect(leftovers("doomed")).To(BeEmpty())
	})

	It("fails if the login fails, and removes the clone", func(ctx SpecContext) {
		variant("talkative", "quiet", "")
		configure(`locked = ${booting} { libvirtBaseDomain = talkative, connection.url = "ssh://nobody@{0}:23", provision.startTimeout = 5 }`)
		err := refused(ctx, "locked")
		Expect(err).To(MatchError(fixture.ErrNotReachable))
		Expect(err).To(MatchError(MatchRegexp(`(?s)connection refused.*last lines of the console:\n    \| \[`)))
	})

	It("reports the position of an error in the configuration", func(ctx SpecContext) {
		configure(`typo = ${guest} { networkDevceId = my_nat_network }`)
		err := refused(ctx, "typo")
		Expect(err).To(MatchError(fixture.ErrInvalidConfiguration))
		Expect(err).To(MatchError(And(ContainSubstring("OVERCAST_SET:1:19"), ContainSubstring(`networkDevceId`), ContainSubstring(`networkDeviceId`))))
		var positioned hocon.Error
		Expect(errors.As(err, &positioned)).To(BeTrue())
	})

	It("refuses a host that is not in the configuration", func(ctx SpecContext) {
		err := refused(ctx, "undeclared")
		Expect(err).To(MatchError(fixture.ErrUnknownLabel))
		Expect(err).To(MatchError(And(ContainSubstring(`host "undeclared"`), ContainSubstring("nat_host"), ContainSubstring("overcast.conf"))))
	})
})
