package itest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	"github.com/overcast-go/overcast/mount"
)

// share is a folder with a file in it that QEMU's user may read and write to.
func share() string {
	GinkgoHelper()
	dir := openDir()
	Expect(os.WriteFile(filepath.Join(dir, "hello"), []byte("from outside"), 0o644)).To(Succeed())
	Expect(os.Chmod(dir, 0o777)).To(Succeed())
	return dir
}

// ext4 is a folder that keeps extended attributes on every kernel, which a file
// system in memory does not.
func ext4() string {
	GinkgoHelper()
	dir := openDir()
	image := filepath.Join(GinkgoT().TempDir(), "ext4.img")
	Expect(os.WriteFile(image, nil, 0o600)).To(Succeed())
	Expect(os.Truncate(image, 4<<20)).To(Succeed())
	for _, command := range [][]string{{"mke2fs", "-q", "-F", "-t", "ext4", image}, {"mount", "-o", "loop", image, dir}} {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
	}
	DeferCleanup(func() { Expect(exec.Command("umount", dir).Run()).To(Succeed()) })
	Expect(os.Chmod(dir, 0o777)).To(Succeed())
	return dir
}

// says is what the host's shell prints for a command that must succeed.
func says(ctx SpecContext, host *fixture.CloudHost, command string) string {
	GinkgoHelper()
	result, err := host.Run(ctx, command)
	Expect(err).NotTo(HaveOccurred())
	Expect(result.ExitCode).To(BeZero(), "%s: %+v", command, result)
	return result.Stdout
}

// fails wants a command to fail with these words.
func fails(ctx SpecContext, host *fixture.CloudHost, command, words string) {
	GinkgoHelper()
	Expect(host).To(RunCommand(command).WithExitCode(Not(BeZero())).WithStderr(ContainSubstring(words)).Within(10 * time.Second))
}

// unmapped sets up what cannot be, and answers with the failure; nothing is left.
func unmapped(ctx SpecContext, label string) error {
	GinkgoHelper()
	_, err := fixture.SetUp(ctx, label)
	Expect(err).To(HaveOccurred())
	GinkgoWriter.Println(err)
	Expect(leftovers(label)).To(BeEmpty())
	Expect(virsh("pool-list", "--name")).NotTo(ContainSubstring("overcast-" + label + "-"))
	return err
}

var _ = Describe("a folder of fsMapping", func() {
	It("is mounted by the guest's fstab, as in the documentation", func(ctx SpecContext) {
		text, err := os.ReadFile("../testdata/hocon/seed/file-system-mapping.conf")
		Expect(err).NotTo(HaveOccurred())
		vagrant, data := openDir(), share()
		Expect(os.MkdirAll(filepath.Join(vagrant, "itest/vagrant"), 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(vagrant, "itest/vagrant/Vagrantfile"), []byte("a box"), 0o644)).To(Succeed())
		configure("my-host = ${guest}\n%s\nitest { vagrantDir = %q, dataDir = %q }", text, vagrant, data)
		host := up(ctx, "my-host")
		Expect(says(ctx, host, "cat /etc/fstab")).To(Equal("" +
			"data            /data               9p    ro,trans=virtio\n" +
			"vagrant         /vagrant            9p    ro,trans=virtio\n"))
		Eventually(host).WithTimeout(time.Minute).Should(HaveMounted("/data").ReadOnly().WithType("9p").From("data").Within(10 * time.Second))
		Eventually(host).WithTimeout(time.Minute).Should(HaveMounted("/vagrant").ReadOnly().WithType("9p").From("vagrant").Within(10 * time.Second))
		Expect(host).To(HaveFile("/data/hello").WithContent("from outside").Within(10 * time.Second))
		Expect(host).To(HaveFile("/vagrant/Vagrantfile").WithContent("a box").Within(10 * time.Second))
		Expect(clones("my-host")[0].Devices.Filesystems).To(HaveLen(2))
	})

	It("is mounted at mountAt before provisioning", func(ctx SpecContext) {
		outer, inner, by := share(), share(), share()
		Expect(os.MkdirAll(filepath.Join(outer, "below it"), 0o755)).To(Succeed())
		configure(`mounted = ${guest} {
			fsMapping {
				inner { hostPath = %q, readOnly = false, accessMode = squash, mountAt = "/an outer/folder/below it" }
				outer { hostPath = %q, mountAt = "/an outer/folder/" }
				data  { hostPath = %q, mountAt = /data }
			}
			provision.cmd = "cp '/an outer/folder/hello' '/an outer/folder/below it/copied'"
		}`, inner, outer, by)
		host := up(ctx, "mounted")
		Expect(os.ReadFile(filepath.Join(inner, "copied"))).To(Equal([]byte("from outside")))
		Expect(host).To(HaveMounted("/an outer/folder").ReadOnly().WithType("9p").From("outer").Within(10 * time.Second))
		Expect(host).To(HaveMounted("/an outer/folder/below it").WithType("9p").From("inner").Within(10 * time.Second))
		Expect(host).NotTo(HaveMounted("/an outer/folder/below it").ReadOnly().Within(10 * time.Second))
		Expect(says(ctx, host, "grep '^outer ' /proc/mounts")).To(And(ContainSubstring("trans=virtio"), ContainSubstring("msize=512000")))
		Expect(says(ctx, host, "grep -c '^data /data ' /proc/mounts")).To(Equal("1\n"), "the fstab has mounted it: it stays as it is")
	})

	It("is unmounted at teardown", func(ctx SpecContext) {
		work, proof := share(), share()
		configure(`leaves = ${guest} { shutdownTimeout = 30, fsMapping { work { hostPath = %q, mountAt = /work }, proof { hostPath = %q, readOnly = false, accessMode = squash } } }`, work, proof)
		host := up(ctx, "leaves")
		in(ctx, host, `mkdir /proof && mount -t 9p -o trans=virtio proof /proof && echo 'cat /proc/mounts >/proof/at-shutdown; poweroff' >/etc/acpi/PWRF/00000080`)
		Expect(host).To(HaveMounted("/work").Within(10 * time.Second))
		Expect(fixture.TearDown(ctx, "leaves")).To(Succeed())
		text, err := os.ReadFile(filepath.Join(proof, "at-shutdown"))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(text)).To(And(ContainSubstring("proof /proof 9p"), Not(ContainSubstring("/work"))))
	})

	It("does not block the teardown of a guest that hangs or uses it", func(ctx SpecContext) {
		configure(`stuck = ${guest} { fsMapping.work { hostPath = %q, mountAt = /work } }`, share())
		host := up(ctx, "stuck")
		in(ctx, host, "cd /work && (sleep 1000 >/dev/null 2>&1 </dev/null &)")
		virsh("suspend", clones("stuck")[0].Name)
		Expect(fixture.TearDown(ctx, "stuck")).To(Succeed())
		Expect(leftovers("stuck")).To(BeEmpty())
	})

	It("uses virtiofs with shared memory", fast, func(ctx SpecContext) {
		dir := share()
		Expect(os.WriteFile(filepath.Join(dir, "root's"), []byte("secret"), 0o600)).To(Succeed())
		tag := "a-tag-of-36-bytes-which-9p-has-not.1"
		configure(`fast = ${guest} { fsMapping { "%s" { hostPath = %q, driver = VirtioFS, readOnly = false, mountAt = /fast }, slow { hostPath = %[2]q, driver = auto, mountAt = /slow } } }`, tag, dir)
		host := up(ctx, "fast")
		Expect(host).To(HaveMounted("/fast").WithType("virtiofs").From(tag).Within(10 * time.Second))
		Expect(host).To(HaveMounted("/slow").WithType("9p").ReadOnly().Within(10 * time.Second))
		Expect(host).To(HaveFile("/fast/hello").WithContent("from outside").Within(10 * time.Second))
		Expect(host).To(HaveFile("/fast/root's").WithContent("secret").Within(10 * time.Second))
		in(ctx, host, "echo mine >/fast/file && chown 1000 /fast/file")
		Expect(os.ReadFile(filepath.Join(dir, "file"))).To(Equal([]byte("mine\n")))
		info, err := os.Stat(filepath.Join(dir, "file"))
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Sys().(*syscall.Stat_t).Uid).To(BeEquivalentTo(1000))
		backing := clones("fast")[0].MemoryBacking
		Expect(backing.MemorySource.Type).To(Equal("memfd"))
		Expect(backing.MemoryAccess.Mode).To(Equal("shared"))
	})

	It("replaces a filesystem of the base domain with the same target", func(ctx SpecContext) {
		mine := share()
		variant("mapped-base", "<serial type", "<filesystem type='mount'><source dir='/nowhere'/><target dir='data'/></filesystem><serial type")
		configure(`replaced = ${guest} { libvirtBaseDomain = mapped-base, fsMapping.data.hostPath = %q }`, mine)
		Eventually(up(ctx, "replaced")).WithTimeout(time.Minute).Should(HaveFile("/data/hello").Within(10 * time.Second))
	})
})

var _ = Describe("folders of fsMapping of one host", Ordered, func() {
	const many = 10_000
	var host *fixture.CloudHost
	var closed, open, mapped, squashed string
	BeforeAll(func(ctx SpecContext) {
		closed, open, mapped, squashed = share(), share(), ext4(), ext4()
		Expect(os.WriteFile(filepath.Join(mapped, "theirs"), nil, 0o644)).To(Succeed())
		Expect(os.Chown(filepath.Join(mapped, "theirs"), 1234, 1235)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(squashed, "other's"), nil, 0o644)).To(Succeed())
		Expect(os.Chmod(filepath.Join(squashed, "other's"), 0o666)).To(Succeed())
		Expect(os.Chown(filepath.Join(squashed, "other's"), 1234, 1235)).To(Succeed())
		crowd := share()
		for n := range many {
			Expect(os.WriteFile(filepath.Join(crowd, fmt.Sprintf("file-%05d", n)), nil, 0o644)).To(Succeed())
		}
		configure(`several = ${guest} { fsMapping {
			closed   { hostPath = %q, mountAt = /closed }
			open     { hostPath = %q, readOnly = false, accessMode = mapped, mountAt = /open }
			mapped   { hostPath = %q, readOnly = false, accessMode = Mapped, mountAt = /mapped }
			squashed { hostPath = %q, readOnly = false, accessMode = SQUASH, mountAt = /squashed }
			passed   { hostPath = %[4]q, readOnly = false, mountAt = /passed }
			crowd    { hostPath = %[5]q, mountAt = /crowd }
			fast     { hostPath = %[5]q, mountAt = /fast, driver = virtiofs, readOnly = false }
		} }`, closed, open, mapped, squashed, crowd)
		host = up(ctx, "several")
	})

	It("are writable only with readOnly = false", func(ctx SpecContext) {
		in(ctx, host, "echo mine >/open/file")
		Expect(os.ReadFile(filepath.Join(open, "file"))).To(Equal([]byte("mine\n")))
		fails(ctx, host, "touch /closed/file", "Read-only file system")
		in(ctx, host, "umount /closed && mount -t 9p -o rw,trans=virtio closed /closed")
		Expect(host).NotTo(HaveMounted("/closed").ReadOnly().Within(10 * time.Second))
		fails(ctx, host, "touch /closed/file", "Read-only file system")
		Expect(filepath.Join(closed, "file")).NotTo(BeAnExistingFile())
	})

	It("have the owners of their access modes", func(ctx SpecContext) {
		in(ctx, host, "cd / && touch mapped/mapped-mine squashed/squashed-mine && chown 1000:1001 mapped/mapped-mine")
		fails(ctx, host, "chown 1000:1001 /squashed/squashed-mine", "Operation not permitted")
		fails(ctx, host, "touch /passed/passed-mine", "Operation not permitted")
		in(ctx, host, "echo more >>/passed/other\\'s")
		Expect(says(ctx, host, "stat -c '%n %u:%g' /mapped/theirs /mapped/mapped-mine")).To(Equal("/mapped/theirs 1234:1235\n/mapped/mapped-mine 1000:1001\n"))
		qemu := numberOf("libvirt-qemu")
		Expect(says(ctx, host, "stat -c %u /squashed/squashed-mine /passed/other\\'s")).To(Equal(fmt.Sprintf("%d\n1234\n", qemu)))
		for _, file := range []string{filepath.Join(mapped, "mapped-mine"), filepath.Join(squashed, "squashed-mine")} {
			info, err := os.Stat(file)
			Expect(err).NotTo(HaveOccurred())
			Expect(info.Sys().(*syscall.Stat_t).Uid).To(BeEquivalentTo(qemu), file)
		}
		uid := make([]byte, 4)
		size, err := syscall.Getxattr(filepath.Join(mapped, "mapped-mine"), "user.virtfs.uid", uid)
		Expect(err).NotTo(HaveOccurred())
		Expect(uid[:size]).To(Equal([]byte{0xe8, 0x03, 0, 0}), "1000")
	})

	It("can contain many files", func(ctx SpecContext) {
		for _, point := range []string{"/crowd", "/fast"} {
			Expect(says(ctx, host, "ls "+point+" | grep -c ^file-")).To(Equal(fmt.Sprintln(many)))
			Expect(says(ctx, host, "ls "+point+" | sort -u | wc -l")).To(Equal(fmt.Sprintln(many + 1)))
		}
	})
})

// numberOf is the number of an account.
func numberOf(account string) int {
	GinkgoHelper()
	out, err := exec.Command("id", "-u", account).Output()
	Expect(err).NotTo(HaveOccurred())
	var uid int
	_, err = fmt.Sscan(string(out), &uid)
	Expect(err).NotTo(HaveOccurred())
	return uid
}

var _ = Describe("set-up with an invalid folder", func() {
	// refusedFor wants a mapping to be refused at a place below its target, with
	// these words.
	refusedFor := func(ctx SpecContext, mapping, place, words string) {
		GinkgoHelper()
		configure("unmapped = ${booting} { fsMapping.data { %s } }", mapping)
		Expect(unmapped(ctx, "unmapped")).To(MatchError(And(MatchRegexp(`OVERCAST_SET:1:\d+: unmapped\.fsMapping\.data\.`+place+`: `), ContainSubstring(words))))
	}

	It("fails if it does not exist, is no folder, or is not readable for QEMU", func(ctx SpecContext) {
		dir := openDir()
		file := filepath.Join(dir, "file")
		Expect(os.WriteFile(file, nil, 0o644)).To(Succeed())
		refusedFor(ctx, `hostPath = "`+dir+`/nothing"`, "hostPath", dir+"/nothing does not exist on this machine, the hypervisor's machine (qemu:///system)")
		refusedFor(ctx, `hostPath = "`+file+`"`, "hostPath", file+" is not a folder")
		deep := filepath.Join(dir, "deep")
		Expect(os.Mkdir(deep, 0o700)).To(Succeed())
		refusedFor(ctx, `hostPath = "`+deep+`"`, "hostPath", deep+" cannot be read by user libvirt-qemu, which QEMU runs as (it has mode 0700, and belongs to user 0, group 0): chmod o+rx "+deep)
		Expect(os.Chmod(deep, 0o755)).To(Succeed())
		Expect(os.Chmod(dir, 0o750)).To(Succeed())
		refusedFor(ctx, `hostPath = "`+deep+`"`, "hostPath", dir+" cannot be passed through by user libvirt-qemu")
		Expect(os.Chown(dir, -1, numberOf("libvirt-qemu"))).To(Succeed())
		configure(`grouped = ${booting} { fsMapping.data.hostPath = %q }`, deep)
		up(ctx, "grouped")
	})

	It("names the hypervisor's machine in the error", func(ctx SpecContext) {
		dir := openDir()
		Expect(os.Chmod(dir, 0o700)).To(Succeed())
		file := filepath.Join(dir, "file")
		Expect(os.WriteFile(file, nil, 0o644)).To(Succeed())
		const there = " on the hypervisor's machine (qemu+ssh://user@linux-box/system)"
		for path, words := range map[string]string{
			dir + "/nothing": dir + "/nothing does not exist" + there + ": create it there, or create it on this machine and set sync = true",
			file:             file + there + " is not a folder",
			dir:              dir + there + " cannot be read by the user that QEMU runs as there",
		} {
			configure(`unmapped_far = ${booting} { libvirtURL = "qemu+ssh://user@linux-box/system", fsMapping.data.hostPath = %q }`, path)
			Expect(unmapped(ctx, "unmapped_far")).To(MatchError(And(ContainSubstring("unmapped_far.fsMapping.data.hostPath: "), ContainSubstring(words))))
		}
		configure(`pooled = ${booting} { libvirtURL = "qemu+ssh://user@linux-box/system", fsMapping.data.hostPath = %q }`, pool("mapped", "1M"))
		up(ctx, "pooled")
	})

	It("is checked although a process has left a temporary pool over the folder", func(ctx SpecContext) {
		dir := openDir()
		const name = "overcast-left-ffffffffffffffff-1-1-0123abcd-look1"
		virsh("pool-create-as", name, "dir", "--target", dir)
		DeferCleanup(func() { _ = exec.Command("virsh", "-q", "-c", "qemu:///system", "pool-destroy", name).Run() })
		configure(`blocked = ${booting} { libvirtURL = "qemu+ssh://user@linux-box/system", fsMapping.data.hostPath = %q }`, dir)
		up(ctx, "blocked")
	})

	It("is reported by overcast doctor, which leaves nothing", func() {
		dir := share()
		said, code := doctor(seed("nat-network") + fmt.Sprintf("\nnat_host.fsMapping { data.hostPath = %q, gone.hostPath = \"%[1]s/nothing\" }\n", dir))
		Expect(code).To(Equal(1))
		Expect(said).To(MatchRegexp(`(?m)^FAILED +nat_host: folders: .*fsMapping\.gone\.hostPath: ` + dir + `/nothing does not exist on the hypervisor's machine`))
		said, code = doctor(seed("nat-network") + fmt.Sprintf("\nnat_host.fsMapping { data.hostPath = %q }\n", dir))
		Expect(code).To(BeZero())
		Expect(said).To(MatchRegexp(`(?m)^ok +nat_host: folders: 1 of fsMapping$`))
		Expect(virsh("pool-list", "--name")).NotTo(ContainSubstring("overcast-nat_host-"))
	})

	It("fails for a read-only virtiofs mapping before libvirt 11.0, which maps the folder read-only", fast, func(ctx SpecContext) {
		dir := share()
		if libvirtMajor() >= 11 {
			configure(`closed = ${guest} { fsMapping.fast { hostPath = %q, driver = virtiofs, mountAt = /fast } }`, dir)
			host := up(ctx, "closed")
			Expect(host).To(HaveMounted("/fast").WithType("virtiofs").Within(10 * time.Second))
			fails(ctx, host, "touch /fast/file", "Read-only file system")
			Expect(filepath.Join(dir, "file")).NotTo(BeAnExistingFile())
			return
		}
		refusedFor(ctx, `driver = virtiofs, hostPath = "`+dir+`"`, "readOnly", "libvirt "+libvirtVersion()+" at qemu:///system cannot make virtiofs read-only (11.0 and later can): set readOnly = false, or use driver = 9p")
	})

	It("fails for an access mode that virtiofs does not support", func(ctx SpecContext) {
		dir := share()
		refusedFor(ctx, `driver = virtiofs, readOnly = false, accessMode = mapped, hostPath = "`+dir+`"`, "accessMode", "virtiofs supports only the access mode passthrough")
	})

	It("fails if virtiofsd is not installed", Serial, func(ctx SpecContext) {
		out, err := exec.Command("mount", "-t", "tmpfs", "nothing", "/usr/share/qemu/vhost-user").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		DeferCleanup(func() { Expect(exec.Command("umount", "/usr/share/qemu/vhost-user").Run()).To(Succeed()) })
		refusedFor(ctx, `driver = virtiofs, readOnly = false, hostPath = "`+share()+`"`, "driver", "virtiofs needs the program virtiofsd on the hypervisor's machine")
	})

	It("fails if the guest's fstab mounts the folder at another path", func(ctx SpecContext) {
		configure(`elsewhere = ${guest} { fsMapping.data { hostPath = %q, mountAt = /elsewhere } }`, share())
		Expect(unmapped(ctx, "elsewhere")).To(MatchError(And(
			ContainSubstring("mounting data at /elsewhere by 9p: mount: mounting data on /elsewhere failed: Device or resource busy"),
			ContainSubstring("the guest has already mounted data at another path, perhaps from its fstab"))))
	})

	It("fails if the guest's kernel has no driver, with how to add it", func(ctx SpecContext) {
		for words, without := range map[string]string{
			"No such device":   "9p,9pnet_virtio",
			"Invalid argument": "9pnet_virtio",
		} {
			variant("driverless", "quiet", "module_blacklist="+without)
			configure(`driverless_host = ${guest} { libvirtBaseDomain = driverless, fsMapping.work { hostPath = %q, mountAt = /work } }`, share())
			err := unmapped(ctx, "driverless_host")
			Expect(err).To(MatchError(mount.ErrNoDriver))
			Expect(err).To(MatchError(And(
				ContainSubstring("mounting work at /work by 9p: the guest's kernel has no driver for it: mount: mounting work on /work failed: "+words),
				ContainSubstring("/etc/initramfs-tools/modules && update-initramfs -u"),
				ContainSubstring(`dracut --force --add-drivers "9p 9pnet_virtio"`))))
			var failed *mount.Error
			Expect(errors.As(err, &failed)).To(BeTrue())
			virsh("undefine", "driverless")
		}
	})
})

var _ = Describe("a folder with sync", func() {
	copies := func(label string) []string {
		GinkgoHelper()
		found, err := filepath.Glob("/var/tmp/overcast-" + label + "-*")
		Expect(err).NotTo(HaveOccurred())
		return found
	}
	config := func(label, dir string) string {
		return patientSeed("nat-network") + fmt.Sprintf(`
			%s = ${nat_host} { reach = direct, connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY}, fsMapping.docs { hostPath = %q, sync = true, mountAt = /docs } }
			`, label, dir)
	}

	It("is copied for the lifetime of the clone", func(ctx SpecContext) {
		dir := share()
		Expect(os.MkdirAll(filepath.Join(dir, "sub/folder"), 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "sub/folder/program"), []byte("#!/bin/sh\necho run\n"), 0o755)).To(Succeed())
		Expect(os.Symlink("sub/folder/program", filepath.Join(dir, "link"))).To(Succeed())
		Expect(os.Chmod(filepath.Join(dir, "sub/folder"), 0o555)).To(Succeed())
		Expect(os.Chmod(dir, 0o755)).To(Succeed())
		host := otherRun{config: config("synced", dir)}.bringsUp("synced")
		guest := guestAt(host.address())
		Expect(run(guest, "cat /docs/hello")).To(Equal("from outside"))
		Expect(run(guest, "/docs/link")).To(Equal("run\n"))
		Expect(copies("synced")).To(HaveLen(1))
		Expect(os.WriteFile(filepath.Join(dir, "hello"), []byte("changed"), 0o644)).To(Succeed())
		Expect(run(guest, "cat /docs/hello")).To(Equal("from outside"), "it is a copy")
		host.ends()
		Expect(copies("synced")).To(BeEmpty())
	})

	It("is removed by gc if its process was killed, and a day later if that ran on another boot", Serial, func(ctx SpecContext) {
		dir := share()
		killed := otherRun{config: config("uncollected", dir)}.bringsUp("uncollected")
		killed.address()
		left := copies("uncollected")
		Expect(left).To(HaveLen(1))
		killed.Kill().Wait(30 * time.Second)
		Eventually(leftovers).WithArguments("uncollected").WithTimeout(30 * time.Second).Should(BeEmpty())
		const hypervisor = "qemu+ssh://user@linux-box/system"
		elsewhere := "/var/tmp/overcast-uncollected-0123456789abcdef-7-7-01234567-fs0"
		box, err := user.Lookup("user")
		Expect(err).NotTo(HaveOccurred())
		Expect(exec.Command("install", "-d", "-o", box.Uid, elsewhere).Run()).To(Succeed())
		DeferCleanup(os.RemoveAll, elsewhere)

		Expect(overcast("gc", "uncollected", "--dry-run", "-c", hypervisor)).To(And(
			ContainSubstring("would remove folder "+left[0]+" ("), Not(ContainSubstring(elsewhere))))
		Expect(overcast("ls", "--json", "-c", hypervisor)).To(ContainSubstring("its owner may be alive: changed within the last 24h0m0s"))
		Expect(overcast("gc", "uncollected", "-c", hypervisor)).To(ContainSubstring("removed folder " + left[0] + " ("))
		Expect(copies("uncollected")).To(ConsistOf(elsewhere))
	})

	It("is removed by the next run if its process was killed", func(ctx SpecContext) {
		dir := share()
		killed := otherRun{config: config("orphaned_copy", dir)}.bringsUp("orphaned_copy")
		killed.address()
		Expect(copies("orphaned_copy")).To(HaveLen(1))
		killed.Kill().Wait(30 * time.Second)
		Eventually(leftovers).WithArguments("orphaned_copy").WithTimeout(30 * time.Second).Should(BeEmpty())
		next := otherRun{config: config("heir", dir)}.bringsUp("heir")
		next.address()
		Expect(copies("orphaned_copy")).To(BeEmpty())
		next.ends()
		Expect(copies("heir")).To(BeEmpty())
	})

	It("must be on this machine, and readable for QEMU on the other", func(ctx SpecContext) {
		dir := openDir()
		fails := func(path, words string) {
			GinkgoHelper()
			test := otherRun{config: config("unsynced", path)}.runs("TestChild", childVariable+"=unsynced")
			Eventually(test, time.Minute).Should(HaveField("ExitCode()", BeNumerically(">=", 0)))
			Expect(strings.Join(strings.Fields(string(test.Out.Contents())), " ")).To(ContainSubstring(words))
			Expect(copies("unsynced")).To(BeEmpty())
			Expect(leftovers("unsynced")).To(BeEmpty())
		}
		fails(dir+"/nothing", dir+"/nothing does not exist on this machine, and sync = true copies it from here")
		Expect(os.Chmod(dir, 0o700)).To(Succeed())
		fails(dir, "fsMapping.docs.sync: the copy of "+dir+" has the same modes: ")
	})
})
