package itest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"libvirt.org/go/libvirtxml"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
)

// requireDebian skips the spec where the lab has no Debian guest.
func requireDebian(name string) {
	GinkgoHelper()
	if !slices.Contains(strings.Fields(virsh("list", "--all", "--name")), name) {
		Skip("there is no base domain " + name + ": run the lab with LAB_DEBIAN=1, as make itest does")
	}
}

// debianBase defines a base that is one of the lab's Debian guests but for some
// words. It is on the network lab-by-mac: on any other, clones that run at the
// same time, also those of other processes, get one address, as they have one
// machine ID.
func debianBase(of, name string, words ...string) {
	GinkgoHelper()
	requireDebian(of)
	define(asAnother(of, name, append(words, "<source network='my_nat_network'/>", "<source network='lab-by-mac'/>")...))
}

// allUp sets hosts up side by side, for the length of a spec or a container.
func allUp(ctx context.Context, labels ...string) {
	GinkgoHelper()
	for _, label := range labels {
		DeferCleanup(func(ctx SpecContext) { Expect(fixture.TearDown(ctx, label)).To(Succeed()) })
	}
	errs := make([]error, len(labels))
	var wg sync.WaitGroup
	for i, label := range labels {
		wg.Go(func() { _, errs[i] = fixture.SetUp(ctx, label) })
	}
	wg.Wait()
	Expect(errors.Join(errs...)).NotTo(HaveOccurred())
}

// debianDefaults are settings of hosts with a Debian guest, which takes longer
// to boot on a busy machine than others.
const debianDefaults = `
	debian = ${guest} { networkDeviceId = lab-by-mac, addressTimeout = 300, provision.startTimeout = 180 }
`

var _ = Describe("a guest with systemd", Ordered, SpecPriority(1), func() {
	var uefi, bios *fixture.CloudHost
	var biosClone libvirtxml.Domain
	var folder string

	BeforeAll(func(ctx SpecContext) {
		debianBase("lab-debian", "debian-uefi", "</devices>", "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>")
		debianBase("lab-debian-bios", "debian-bios")
		folder = share()
		upload := filepath.Join(GinkgoT().TempDir(), "upload")
		Expect(os.WriteFile(upload, []byte("copied"), 0o644)).To(Succeed())
		configure(debianDefaults+`
			debian_uefi = ${debian} {
				libvirtBaseDomain = debian-uefi
				fsMapping.slow { hostPath = %q, mountAt = /slow }
				provision.copy = [%q, /root/upload]
				provision.cmd = "cat /root/upload /slow/hello >/root/provisioned"
			}
			debian_bios = ${debian} {
				libvirtBaseDomain = debian-bios, ipLookupStrategy = agent, shutdownTimeout = 60
				fsMapping.fast { hostPath = %[1]q, readOnly = false, driver = virtiofs, mountAt = /fast }
			}
		`, folder, upload)
		allUp(ctx, "debian_uefi", "debian_bios")
		uefi, bios = fixture.Host("debian_uefi"), fixture.Host("debian_bios")
		biosClone = only(clones("debian_bios"))
	})

	It("boots by UEFI from a virtio disk, and by BIOS from a SATA disk", func() {
		Expect(uefi).To(HaveFile("/sys/firmware/efi/fw_platform_size").WithContent("64\n").Within(time.Minute))
		Expect(uefi).To(HaveMounted("/").From("/dev/vda2").Within(time.Minute))
		Expect(bios).NotTo(HaveFile("/sys/firmware/efi/fw_platform_size").Within(time.Minute))
		Expect(bios).To(HaveMounted("/").From("/dev/sda2").Within(time.Minute))
	})

	It("has no unit that failed", func() {
		for _, host := range []*fixture.CloudHost{uefi, bios} {
			Expect(host).To(RunCommand("systemctl is-system-running --wait").WithStdout("running\n").Within(time.Minute))
		}
	})

	It("is found by its DHCP lease and by its guest agent", func(ctx SpecContext) {
		for _, host := range []*fixture.CloudHost{uefi, bios} {
			Expect(host).To(HaveAddressIn("192.168.125.0/24"))
			Expect(says(ctx, host, "ip -4 -o address")).To(ContainSubstring(" " + host.HostName() + "/24 "))
		}
	})

	It("has services of systemd", func() {
		for _, host := range []*fixture.CloudHost{uefi, bios} {
			for _, service := range []string{"ssh", "systemd-networkd.service", "qemu-guest-agent"} {
				Expect(host).To(HaveService(service).Within(time.Minute))
			}
			Expect(host).NotTo(HaveService("nginx").Within(time.Minute))
		}
	})

	It("mounts folders by 9p and by virtiofs, and is provisioned when they are mounted", func(ctx SpecContext) {
		Expect(uefi).To(HaveMounted("/slow").ReadOnly().WithType("9p").From("slow").Within(time.Minute))
		Expect(bios).To(HaveMounted("/fast").WithType("virtiofs").From("fast").Within(time.Minute))
		Expect(uefi).To(HaveFile("/root/provisioned").WithContent("copiedfrom outside").Within(time.Minute))
		in(ctx, bios, "echo mine >/fast/file")
		Expect(os.ReadFile(filepath.Join(folder, "file"))).To(Equal([]byte("mine\n")))
		_, err := bios.Checkpoint(ctx)
		Expect(err).To(MatchError(fixture.ErrNoCheckpoint))
		Expect(err).To(MatchError(ContainSubstring("a virtiofs folder, cannot be saved: use driver = 9p and mountAt")))
		in(ctx, bios, "rm /fast/file")
	})

	itRunsCommands(func() *fixture.CloudHost { return uefi }, 50)
	itNamesAFullDisk(func() *fixture.CloudHost { return uefi })
	itMatches(func() *fixture.CloudHost { return uefi }, "sshd")
	itMatches(func() *fixture.CloudHost { return bios }, "sshd")

	It("has the UEFI variables and the TPM of a checkpoint after a revert, also when it reboots then", func(ctx SpecContext) {
		const variable = "/sys/firmware/efi/efivars/Overcast-6a7c1b52-0d5e-4b8e-9a44-3f1c2d5e7f90"
		variables := fileOfQEMU(ownClone("debian_uefi"), "_VARS.fd")
		register := tpm(ctx, uefi, readRegister)
		Expect(tpm(ctx, uefi, readIndex)).To(HavePrefix(tpmFailed))
		checkpoint, err := uefi.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())

		in(ctx, uefi, `printf '\007\000\000\000x' >`+variable)
		Expect(os.ReadFile(variables)).To(ContainSubstring("O\x00v\x00e\x00r\x00c\x00a\x00s\x00t"))
		Expect(tpm(ctx, uefi, extendRegister)).To(HavePrefix(tpmSucceeded))
		Expect(tpm(ctx, uefi, readRegister)).NotTo(Equal(register))
		Expect(tpm(ctx, uefi, defineIndex)).To(HavePrefix(tpmSucceeded))
		Expect(tpm(ctx, uefi, readIndex)).To(HavePrefix(tpmSucceeded))

		Expect(checkpoint.Revert(ctx)).To(Succeed())
		Expect(uefi).NotTo(HaveFile(variable).Within(time.Minute))
		Expect(os.ReadFile(variables)).NotTo(ContainSubstring("O\x00v\x00e\x00r\x00c\x00a\x00s\x00t"))
		Expect(tpm(ctx, uefi, readRegister)).To(Equal(register))
		Expect(tpm(ctx, uefi, readIndex)).To(HavePrefix(tpmFailed))

		before := says(ctx, uefi, "cat /proc/sys/kernel/random/boot_id")
		in(ctx, uefi, "systemctl --no-block reboot")
		Eventually(func(g Gomega) {
			result, err := uefi.Run(ctx, "cat /proc/sys/kernel/random/boot_id")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(result.Stdout).NotTo(Equal(before))
		}).WithTimeout(5 * time.Minute).WithPolling(time.Second).Should(Succeed())
		Expect(uefi).To(BeReachableOnSSH().Within(time.Minute))
		Expect(uefi).NotTo(HaveFile(variable).Within(time.Minute))
		Expect(tpm(ctx, uefi, readIndex)).To(HavePrefix(tpmFailed))
	})

	It("fails the calls under way when an administrator pauses the domain, and when the guest powers itself off", func(ctx SpecContext) {
		limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		results := callsUnderWay(limited, bios)
		virsh("suspend", biosClone.Name)
		expectOutage(ctx, bios, results, fixture.ErrHostPaused, "paused by an administrator")
		virsh("resume", biosClone.Name)
		Eventually(bios).WithTimeout(time.Minute).Should(RunCommand("true").Within(10 * time.Second))

		expectStopped(powerOffDuringCalls(ctx, bios), ContainSubstring("is shut off: the guest powered itself off"))
	})

	// The last one: it removes the host.
	It("leaves its MAC address, its UUID and its lease to the clone after it", func(ctx SpecContext) {
		before := bios.HostName()
		Expect(fixture.TearDown(ctx, "debian_bios")).To(Succeed())
		configure(debianDefaults + `debian_after = ${debian} { libvirtBaseDomain = debian-bios, ipLookupStrategy = lease }`)
		Expect(up(ctx, "debian_after").HostName()).To(Equal(before))
		after := only(clones("debian_after"))
		Expect(after.UUID).To(Equal(biosClone.UUID))
		Expect(only(after.Devices.Interfaces).MAC.Address).To(Equal(only(biosClone.Devices.Interfaces).MAC.Address))
	})
})

// Commands of TPM 2.0, in hexadecimal digits. Register 16 is volatile and may be extended
// at any time; index 0x01800001 of the non-volatile memory is a text of 8 bytes.
const (
	readRegister   = "8001 00000014 0000017e 00000001 000b 03 000001"
	extendRegister = "8002 00000041 00000182 00000010 00000009 40000009 0000 00 0000 00000001 000b 5555555555555555 5555555555555555 5555555555555555 5555555555555555"
	defineIndex    = "8002 0000002d 0000012a 40000001 00000009 40000009 0000 00 0000 0000 000e 01800001 000b 00060006 0000 0008"
	readIndex      = "8001 0000000e 00000169 01800001"
)

// Response codes of a TPM: success, and an index that is not defined.
const (
	tpmSucceeded = "00000000"
	tpmFailed    = "0000018b"
)

// tpm sends a command to the TPM of a guest and returns the response in hexadecimal
// digits, from its response code.
func tpm(ctx SpecContext, host *fixture.CloudHost, command string) string {
	GinkgoHelper()
	bytes, err := hex.DecodeString(strings.ReplaceAll(command, " ", ""))
	Expect(err).NotTo(HaveOccurred())
	var octal strings.Builder
	for _, b := range bytes {
		fmt.Fprintf(&octal, `\%03o`, b)
	}
	said := says(ctx, host, fmt.Sprintf(`exec 3<>/dev/tpm0; printf '%s' >&3; dd bs=4096 count=1 <&3 2>/dev/null | od -An -v -tx1 | tr -d ' \n'`, octal.String()))
	Expect(len(said)).To(BeNumerically(">=", 20))
	return said[12:]
}

var _ = Describe("a connection to libvirtd that is lost while a guest with systemd boots", Serial, func() {
	It("is named first by the error", func(ctx SpecContext) {
		debianBase("lab-debian", "debian-cut")
		configure(debianDefaults + `debian_cut = ${debian} { libvirtBaseDomain = debian-cut }`)
		_, failed := settingUp(ctx, "debian_cut")
		restartLibvirtd()
		var err error
		Eventually(failed).WithTimeout(30 * time.Second).Should(Receive(&err))
		expectLost(err, "debian_cut")
		Expect(leftovers("debian_cut")).To(BeEmpty())
	})
})
