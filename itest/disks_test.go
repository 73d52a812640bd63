package itest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

// loopDevice is a block device over a file, for the length of a spec. It goes
// away with its last user, whatever happens to this process.
func loopDevice(file string) string {
	GinkgoHelper()
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	device := strings.TrimSpace(string(out))
	held, err := os.Open(device)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(held.Close)
	Expect(exec.Command("losetup", "--detach", device).Run()).To(Succeed(), "as soon as no process has it open")
	return device
}

// onDisk is a base with one disk that boots nothing.
func onDisk(name, disk string) string {
	return `<domain type='qemu'><name>` + name + `</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os><devices>` + disk + `</devices></domain>`
}

var _ = Describe("overlays of a base domain", func() {
	It("are created in a pool of files for a block device", Serial, func(ctx SpecContext) {
		file := filepath.Join(openDir(), "disk.img")
		Expect(os.WriteFile(file, make([]byte, 3<<20), 0o644)).To(Succeed())
		device := loopDevice(file)
		define(onDisk("blocky", `<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='`+device+`'/><target dev='vda' bus='virtio'/></disk>`))
		configure(`%s`, `blocky_host = ${booting} { libvirtBaseDomain = blocky, networkDeviceId = null, overlay = file }, roomy_host = ${blocky_host} { overlayPool = roomy }`)
		before := contentOf(device)
		up(ctx, "blocky_host")
		disk := clones("blocky_host")[0].Devices.Disks[0]
		Expect(disk.Source.File.File).To(HavePrefix(imageDir+"/overcast-blocky_host-"), "of the pool default")
		Expect(disk.BackingStore.Source.Block.Dev).To(Equal(device))
		Expect(capacityOf(disk.Source.File.File)).To(BeEquivalentTo(3 << 20))
		Expect(fixture.TearDown(ctx, "blocky_host")).To(Succeed())

		dir := pool("roomy", "2M")
		up(ctx, "roomy_host")
		Expect(clones("roomy_host")[0].Devices.Disks[0].Source.File.File).To(HavePrefix(dir + "/overcast-roomy_host-"))
		Expect(fixture.TearDown(ctx, "roomy_host")).To(Succeed())
		Expect(contentOf(device)).To(Equal(before))
	})

	It("belong to QEMU's user after a clone has started, as cdrom images do, and are otherwise unchanged", func(ctx SpecContext) {
		qemu, err := user.Lookup("libvirt-qemu")
		Expect(err).NotTo(HaveOccurred())
		dir := openDir()
		images := []string{filepath.Join(dir, "disk.img"), filepath.Join(dir, "cdrom.iso")}
		state := func(path string) (owner, rest string) {
			info, err := os.Stat(path)
			Expect(err).NotTo(HaveOccurred())
			return fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid), info.Mode().String() + contentOf(path)
		}
		before := map[string]string{}
		for _, image := range images {
			Expect(os.WriteFile(image, make([]byte, 1<<20), 0o640)).To(Succeed())
			var owner string
			owner, before[image] = state(image)
			Expect(owner).To(Equal("0"))
		}
		define(onDisk("owned", `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='`+images[0]+`'/><target dev='vda' bus='virtio'/></disk>
			<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='`+images[1]+`'/><target dev='hdc' bus='ide'/><readonly/></disk>`))
		configure(`owned_host = ${booting} { libvirtBaseDomain = owned, networkDeviceId = null, overlayPool = default }`)
		up(ctx, "owned_host")
		Expect(fixture.TearDown(ctx, "owned_host")).To(Succeed())
		for _, image := range images {
			owner, rest := state(image)
			Expect(owner).To(Equal(qemu.Uid), image)
			Expect(rest).To(Equal(before[image]), image)
		}
	})

	It("are smaller than 256 KB at first", func(ctx SpecContext) {
		define(strings.Replace(still, "<name>still<", "<name>quiet-base<", 1))
		configure(`small = ${booting} { libvirtBaseDomain = quiet-base, overlay = file }`)
		up(ctx, "small")
		info, err := os.Stat(clones("small")[0].Devices.Disks[0].Source.File.File)
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Size()).To(BeNumerically("<", 256<<10))
	})

	It("are created for a shared disk unless a running domain can write to it", func(ctx SpecContext) {
		path := emptyDisk("shared.img", "raw", "1M")
		const disk = `<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='` + imageDir + `/shared.img'/><target dev='vda' bus='virtio'/><shareable/></disk>`
		define(onDisk("sharing", disk))
		define(onDisk("writer", disk))
		configure(`sharing_host = ${booting} { libvirtBaseDomain = sharing, networkDeviceId = null }`)
		virsh("start", "writer")
		_, err := fixture.SetUp(ctx, "sharing_host")
		virsh("destroy", "writer")
		Expect(err).To(MatchError(ContainSubstring(`disk vda: the running domain "writer" shares it and may write to it`)))
		Expect(leftovers("sharing_host")).To(BeEmpty())

		before := contentOf(path)
		up(ctx, "sharing_host")
		Expect(clones("sharing_host")[0].Devices.Disks[0].Shareable).To(BeNil(), "the overlay is the clone's alone")
		Expect(fixture.TearDown(ctx, "sharing_host")).To(Succeed())
		Expect(contentOf(path)).To(Equal(before))
	})

	It("are deleted with the clone also for a transient disk", func(ctx SpecContext) {
		emptyDisk("fleeting.qcow2", "qcow2", "1M")
		define(onDisk("fleeting", `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='`+imageDir+`/fleeting.qcow2'/><target dev='vda' bus='virtio'/><transient/></disk>`))
		configure(`fleeting_host = ${booting} { libvirtBaseDomain = fleeting, networkDeviceId = null }`)
		up(ctx, "fleeting_host")
		Expect(fixture.TearDown(ctx, "fleeting_host")).To(Succeed())
		Expect(leftovers("fleeting_host")).To(BeEmpty())
	})
})

var _ = Describe("two runs at the same time", func() {
	It("set up separate clones of one host", func() {
		define(strings.Replace(still, "<name>still<", "<name>common<", 1))
		configure(`common_host = ${booting} { libvirtBaseDomain = common, overlay = file }`)
		one, two := child("common_host"), child("common_host")
		Expect(clones("common_host")).To(HaveLen(2))
		Expect(one.Process.Kill()).To(Succeed())
		Eventually(func() int { return len(clones("common_host")) }).WithTimeout(30e9).Should(Equal(1))
		overcast("gc", "common_host", "-c", "qemu:///system")
		Expect(clones("common_host")).To(HaveLen(1))
		Expect(leftovers("common_host")).To(HaveLen(2), "a domain and its volume")
		Expect(two.Process.Kill()).To(Succeed())
		Eventually(func() int { return len(clones("common_host")) }).WithTimeout(30e9).Should(BeZero())
		overcast("gc", "common_host", "-c", "qemu:///system")
		Expect(leftovers("common_host")).To(BeEmpty())
	})
})

var _ = Describe("a teardown", func() {
	It("removes clones with snapshots, checkpoints and saved states, and succeeds if a clone is already removed", Serial, func(ctx SpecContext) {
		before := belongings()
		define(strings.Replace(still, "<name>still<", "<name>meddled<", 1))
		defineEverything("meddled-all", `<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>`)
		configure(`%s`, `meddled_host = ${booting} { libvirtBaseDomain = meddled, overlay = file }, meddled_all = ${booting} { libvirtBaseDomain = meddled-all, overlay = file }`)
		for what, meddle := range map[string]func(domain, volume string){
			"a snapshot":              func(d, _ string) { virsh("snapshot-create-as", d, "s1") },
			"a checkpoint":            func(d, _ string) { virsh("checkpoint-create-as", d, "c1") },
			"a volume that is gone":   func(_, v string) { virsh("vol-delete", v, "default") },
			"a domain that is gone":   func(d, _ string) { virsh("destroy", d) },
			"a domain that was saved": func(d, _ string) { virsh("save", d, filepath.Join(GinkgoT().TempDir(), "state")) },
		} {
			By(what)
			up(ctx, "meddled_host")
			name := clones("meddled_host")[0].Name
			meddle(name, name+"-vdb.qcow2")
			Expect(fixture.TearDown(ctx, "meddled_host")).To(Succeed())
			Expect(leftovers("meddled_host")).To(BeEmpty())
		}
		By("a managed save of a clone with a definition")
		up(ctx, "meddled_all")
		virsh("managedsave", clones("meddled_all")[0].Name)
		Expect(fixture.TearDown(ctx, "meddled_all")).To(Succeed())
		Expect(leftovers("meddled_all")).To(BeEmpty())
		Expect(belongings()).To(HaveLen(len(before)+5), "the two bases' alone")
	})
})

var _ = Describe("a clone with a long label", func() {
	It("has its own sockets", fast, func(ctx SpecContext) {
		define(onDisk("sockets", `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='`+imageDir+`/lab-two-disks.qcow2'/><target dev='vda'/></disk>
			<serial type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/sock-serial.sock'/></serial>`))
		label := strings.Repeat("long", 20)
		configure(`%s = ${booting} { libvirtBaseDomain = sockets, networkDeviceId = null }`, label)
		up(ctx, label)
		Expect(fixture.TearDown(ctx, label)).To(Succeed())
		Expect(filepath.Glob("/var/lib/libvirt/qemu/*serial.sock")).To(BeEmpty())
	})
})

var _ = Describe("a teardown that fails", func() {
	It("returns the error, can be repeated, and leaves the rest to gc", func(ctx SpecContext) {
		dir := openDir()
		virsh("pool-define-as", "shut", "dir", "--target", dir)
		virsh("pool-start", "shut")
		DeferCleanup(func() { virsh("pool-destroy", "shut"); virsh("pool-undefine", "shut") })
		define(strings.Replace(still, "<name>still<", "<name>stuck<", 1))
		configure(`stuck_host = ${booting} { libvirtBaseDomain = stuck, overlay = file, overlayPool = shut }`)

		_, err := fixture.SetUp(ctx, "stuck_host")
		Expect(err).NotTo(HaveOccurred())
		virsh("pool-destroy", "shut")
		err = fixture.TearDown(ctx, "stuck_host")
		Expect(err).To(MatchError(MatchRegexp(`tearing down stuck_host: removing volume overcast-stuck_host-\S+-vdb.qcow2 in pool shut: libvirt: .*not active`)))
		Expect(clones("stuck_host")).To(BeEmpty(), "what can be removed is")
		virsh("pool-start", "shut")
		Expect(fixture.TearDown(ctx, "stuck_host")).To(Succeed())
		Expect(os.ReadDir(dir)).To(BeEmpty())

		process := child("stuck_host")
		virsh("pool-destroy", "shut")
		Expect(process.Process.Kill()).To(Succeed())
		Expect(process.Wait()).NotTo(Succeed())
		Expect(os.ReadDir(dir)).To(HaveLen(1))
		virsh("pool-start", "shut")
		Eventually(func() []os.DirEntry {
			overcast("gc", "stuck_host", "-c", "qemu:///system")
			left, err := os.ReadDir(dir)
			Expect(err).NotTo(HaveOccurred())
			return left
		}).WithTimeout(30e9).Should(BeEmpty())
	})
})
