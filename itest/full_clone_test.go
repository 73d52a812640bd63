package itest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"libvirt.org/go/libvirtxml"

	"github.com/overcast-go/overcast/fixture"
)

// Folders in which libvirt keeps the files of domains, except their disks.
const (
	nvramDir = "/var/lib/libvirt/qemu/nvram"
	tpmDir   = "/var/lib/libvirt/swtpm"
)

// Firmware of base domains: named by the definition, and selected by libvirt.
const (
	explicitFirmware = `<os><type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/></os>`
	selectedFirmware = `<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>`
)

// emptyDisk creates an image of a size in the lab's pool for the length of a spec.
func emptyDisk(name, format, size string, more ...string) string {
	GinkgoHelper()
	path := filepath.Join(imageDir, name)
	args := append([]string{"create", "-q", "-f", format}, more...)
	out, err := exec.Command("qemu-img", append(args, path, size)...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	DeferCleanup(func() {
		Expect(os.Remove(path)).To(Succeed())
		eventuallyRefresh("default")
	})
	return path
}

// everything is the definition of a base domain with firmware, TPM and all devices that are cloned.
func everything(name, firmware, dir string) string {
	return fmt.Sprintf(`<domain type='qemu'><name>%s</name><title>All of it</title><genid/>
		<metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'><libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo></metadata>
		<memory unit='MiB'>128</memory><iothreads>1</iothreads>
		%s<features><acpi/></features>
		<devices>
		<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap' iothread='1'/><source file='%[3]s/%[1]s.qcow2'/><target dev='vda' bus='virtio'/><serial>S-ONE</serial><boot order='1'/></disk>
		<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='default' volume='%[1]s.img'/><target dev='sdb' bus='sata'/><serial>S-TWO</serial></disk>
		<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='%[3]s/%[1]s.iso'/><target dev='sdc' bus='sata'/><readonly/></disk>
		<interface type='network'><mac address='52:54:00:0a:0b:0c'/><source network='my_nat_network'/><model type='virtio'/></interface>
		<interface type='bridge'><mac address='52:54:00:0a:0b:0d'/><source bridge='br0'/><model type='virtio'/></interface>
		<serial type='file'><source path='%[3]s/%[1]s-serial.log'/></serial>
		<serial type='unix'><source mode='bind' path='%[3]s/%[1]s-serial.sock'/><target port='1'/></serial>
		<channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/%[1]s.agent'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
		<graphics type='vnc' port='5907' autoport='no'/>
		<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
		</devices></domain>`, name, firmware, dir)
}

// defineEverything defines such a base domain for the length of a spec and starts it once,
// so that it has UEFI variables and TPM state. changes are pairs of old and new text of
// the definition.
func defineEverything(name, firmware string, changes ...string) (uuid string) {
	GinkgoHelper()
	emptyDisk(name+"-golden.qcow2", "qcow2", "8M")
	emptyDisk(name+".qcow2", "qcow2", "8M", "-b", imageDir+"/"+name+"-golden.qcow2", "-F", "qcow2")
	emptyDisk(name+".img", "raw", "5M")
	emptyDisk(name+".iso", "raw", "1M")
	eventuallyRefresh("default")
	path := filepath.Join(GinkgoT().TempDir(), "domain.xml")
	text := strings.NewReplacer(changes...).Replace(everything(name, firmware, imageDir))
	Expect(os.WriteFile(path, []byte(text), 0o644)).To(Succeed())
	virsh("define", path)
	DeferCleanup(func() { virsh("undefine", "--nvram", name) })
	DeferCleanup(os.Remove, imageDir+"/"+name+"-serial.log")
	virsh("start", "--paused", name)
	virsh("destroy", name)
	return virsh("domuuid", name)
}

// eventuallyRefresh refreshes a pool, which fails while a volume is created in it.
func eventuallyRefresh(pool string) {
	GinkgoHelper()
	Eventually(func() error { return exec.Command("virsh", "-q", "-c", "qemu:///system", "pool-refresh", pool).Run() }).WithTimeout(10e9).Should(Succeed())
}

// mark writes a marker to a file, which copies of the file have too.
func mark(path string, at int64) {
	GinkgoHelper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	_, err = f.WriteAt([]byte("OVERCAST-WAS-HERE"), at)
	Expect(err).NotTo(HaveOccurred())
}

func marked(path string) bool {
	text, err := os.ReadFile(path)
	return err == nil && bytes.Contains(text, []byte("OVERCAST-WAS-HERE"))
}

// belongings lists all files of domains except their disks.
func belongings() []string {
	GinkgoHelper()
	var found []string
	for _, dir := range []string{nvramDir, tpmDir, "/etc/libvirt/qemu", "/run/libvirt/qemu", "/var/lib/libvirt/qemu/save"} {
		_ = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			// A libvirtd that is killed leaves its sockets, its PID files, and a file that it
			// was writing: FILE.new, which nothing reads.
			if err == nil && info.Mode().IsRegular() && !slices.Contains([]string{".pid", ".new"}, filepath.Ext(path)) {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

// isStatus reports whether libvirt writes a file whenever anything changes of a domain that runs.
func isStatus(path string) bool { return strings.HasPrefix(path, "/run/libvirt/qemu/") }

var _ = Describe("a clone of a base domain with firmware, TPM and character devices", Serial, func() {
	const endOfVariables = 540672 - 64 // of OVMF's 4M build: nothing is kept there

	for kind, firmware := range map[string]string{"an explicit loader": explicitFirmware, "firmware that libvirt selects": selectedFirmware} {
		It("has its own copy of each, with "+kind, func(ctx SpecContext) {
			uuid := defineEverything("all", firmware)
			variables := nvramDir + "/all_VARS.fd"
			mark(variables, endOfVariables)
			state := filepath.Join(tpmDir, uuid, "tpm2")
			Expect(os.WriteFile(state+"/marker", []byte("OVERCAST-WAS-HERE"), 0o600)).To(Succeed())
			before := belongings()
			contents := func() map[string]string {
				found := map[string]string{}
				for _, path := range append(slices.DeleteFunc(slices.Clone(before), isStatus), imageDir+"/all.qcow2", imageDir+"/all-golden.qcow2", imageDir+"/all.img", imageDir+"/all.iso") {
					found[path] = contentOf(path)
				}
				return found
			}
			baseBefore, definition := contents(), virsh("dumpxml", "--inactive", "all")

			configure(`all_host = ${booting} { libvirtBaseDomain = all, networkDeviceId = br0, overlay = file, cache = none }`)
			up(ctx, "all_host")
			found := clones("all_host")
			Expect(found).To(HaveLen(1))
			clone := found[0]
			Expect(clone.UUID).NotTo(Equal(uuid))
			Expect(clone.GenID.Value).NotTo(BeEmpty())
			Expect(clone.Metadata.XML).To(And(ContainSubstring("libosinfo"), ContainSubstring("https://github.com/overcast-go/overcast/xmlns/clone/1")))
			checkDevices(clone)

			own := nvramDir + "/" + clone.Name + "_VARS.fd"
			Expect(marked(own)).To(BeTrue(), "the variables are a copy of the base's")
			Expect(clone.OS.NVRam.NVRam).To(Equal(own))
			Expect(marked(filepath.Join(tpmDir, clone.UUID, "tpm2", "marker"))).To(BeTrue(), "the TPM's state is a copy of the base's")

			Expect(fixture.TearDown(ctx, "all_host")).To(Succeed())
			Expect(leftovers("all_host")).To(BeEmpty())
			Expect(belongings()).To(Equal(before))
			Expect(contents()).To(Equal(baseBefore))
			Expect(virsh("dumpxml", "--inactive", "all")).To(Equal(definition))

			By("also where an earlier clone has left the state of its TPM")
			left := filepath.Join(tpmDir, clone.UUID, "tpm2")
			Expect(os.MkdirAll(left, 0o711)).To(Succeed())
			Expect(os.WriteFile(left+"/marker", []byte("left behind"), 0o600)).To(Succeed())
			up(ctx, "all_host")
			Expect(only(clones("all_host")).UUID).To(Equal(clone.UUID))
			Expect(marked(left + "/marker")).To(BeTrue())
			Expect(fixture.TearDown(ctx, "all_host")).To(Succeed())
			Expect(belongings()).To(Equal(before))
		})
	}

	It("uses unlinked files, so that a killed process leaves nothing", func() {
		defineEverything("bare", explicitFirmware)
		before := belongings()
		configure(`bare_host = ${booting} { libvirtBaseDomain = bare, networkDeviceId = my_nat_network }`)
		process := child("bare_host")
		found := clones("bare_host")
		Expect(found).To(HaveLen(1))
		Expect(virsh("dominfo", found[0].Name)).To(MatchRegexp(`Persistent:\s+no`))
		Expect(nvramDir + "/" + found[0].Name + "_VARS.fd").NotTo(BeAnExistingFile())
		Expect(process.Process.Kill()).To(Succeed())
		Eventually(leftovers).WithArguments("bare_host").WithTimeout(30e9).Should(BeEmpty())
		Eventually(belongings).WithTimeout(30e9).Should(Equal(before))
	})

	It("boots a base domain that was never started with new variables and an empty TPM", func(ctx SpecContext) {
		for name, firmware := range map[string]string{"young": explicitFirmware, "younger": selectedFirmware} {
			emptyDisk(name+".qcow2", "qcow2", "8M")
			define(strings.NewReplacer("<disk type='volume'", "<!-- <disk type='volume'", "<interface type='network'>", "--> <interface type='network'>").Replace(everything(name, firmware, imageDir)))
			before := belongings()
			configure(`%s_host = ${booting} { libvirtBaseDomain = %[1]s, networkDeviceId = br0 }`, name)
			up(ctx, name+"_host")
			Expect(fixture.TearDown(ctx, name+"_host")).To(Succeed())
			Expect(leftovers(name + "_host")).To(BeEmpty())
			Expect(belongings()).To(Equal(before))
		}
	})
})

// checkDevices looks at what a clone of everything has.
func checkDevices(clone libvirtxml.Domain) {
	GinkgoHelper()
	disks := clone.Devices.Disks
	Expect(disks).To(HaveLen(3))
	Expect(disks[0].Source.File.File).To(Equal(imageDir + "/" + clone.Name + "-vda.qcow2"))
	Expect(disks[0].Serial).To(Equal("S-ONE"))
	Expect(disks[0].Boot.Order).To(BeEquivalentTo(1))
	Expect(*disks[0].Driver.IOThread).To(BeEquivalentTo(1))
	Expect(disks[0].Driver.Discard).To(Equal("unmap"))
	Expect(disks[0].Driver.Cache).To(Equal("none"))
	Expect(disks[0].BackingStore.Source.File.File).To(Equal(imageDir + "/all.qcow2"))
	Expect(disks[0].BackingStore.BackingStore.Source.File.File).To(Equal(imageDir + "/all-golden.qcow2"))
	Expect(disks[1].Source.File.File).To(Equal(imageDir + "/" + clone.Name + "-sdb.qcow2"))
	Expect(disks[1].BackingStore.Format.Type).To(Equal("raw"))
	Expect(disks[1].Target.Bus).To(Equal("sata"))
	Expect(disks[2].Source.File.File).To(Equal(imageDir+"/all.iso"), "it is read-only, and so shared")
	Expect(capacityOf(disks[1].Source.File.File)).To(BeEquivalentTo(5 << 20))

	Expect(clone.Devices.Interfaces).To(HaveLen(2))
	for _, i := range clone.Devices.Interfaces {
		Expect(i.MAC.Address).To(And(HavePrefix("52:54:00:"), Not(HavePrefix("52:54:00:0a:0b:"))))
	}
	text, err := xml.Marshal(clone.Devices)
	Expect(err).NotTo(HaveOccurred())
	Expect(string(text)).NotTo(Or(ContainSubstring("all-serial.log"), ContainSubstring("/all-serial.sock"), ContainSubstring("all.agent"), ContainSubstring(`port="5907"`)))
}

// capacityOf is the size of a disk image, as a guest sees it, in bytes.
func capacityOf(path string) int64 {
	GinkgoHelper()
	out, err := exec.Command("qemu-img", "info", "-U", "--output=json", path).Output()
	Expect(err).NotTo(HaveOccurred())
	// QEMU 10 puts the sizes of the children first.
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	Expect(json.Unmarshal(out, &info)).To(Succeed())
	return info.Size
}
