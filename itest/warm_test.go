package itest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/filelock"
)

// removeSlots removes the layers of a spec, with the reserved addresses of warm slots.
func removeSlots() {
	GinkgoHelper()
	overcast("cache", "prune", "--all", "-c", "qemu:///system")
	removeLayers()
}

func specsOfWarmHosts() {
	// prune removes all slots, as a user would.
	prune := func() {
		GinkgoHelper()
		defer removeLayers() // if that fails
		Expect(overcast("cache", "prune", "--all", "-c", "qemu:///system")).NotTo(BeEmpty())
		Expect(layerDomains()).To(BeEmpty())
		Expect(virsh("net-dumpxml", "my_nat_network")).NotTo(ContainSubstring("<host "))
	}
	// proof is written to memory only when the host is provisioned.
	const proof = `provision.cmd = "cat /proc/sys/kernel/random/uuid > /dev/shm/proof"`

	readProof := func(host *fixture.CloudHost) string {
		GinkgoHelper()
		return run(logIn(host), "cat /dev/shm/proof")
	}

	expectClockSet := func(host *fixture.CloudHost) {
		GinkgoHelper()
		seconds, err := strconv.ParseInt(strings.TrimSpace(run(logIn(host), "date +%s")), 10, 64)
		Expect(err).NotTo(HaveOccurred())
		Expect(seconds).To(BeNumerically("~", time.Now().Unix(), 5), "its clock is set")
	}
	expectReverts := func(ctx SpecContext, host *fixture.CloudHost, proof string) {
		GinkgoHelper()
		By("being saved and restored again by checkpoints")
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		run(logIn(host), "rm /dev/shm/proof")
		Expect(checkpoint.Revert(ctx)).To(Succeed())
		Expect(readProof(host)).To(Equal(proof))
	}

	It("boots once, and later hosts are restored from its memory", fast, func(ctx SpecContext) {
		DeferCleanup(prune)
		configure(`
			warm_host = ${guest} { warm = true, ` + proof + ` }
			warm_too = ${warm_host}
		`)
		var steps recordedSteps
		first := up(steps.record(ctx), "warm_host")
		Expect(steps.all()).To(ContainSubstring("warm_host: saved memory slot 0"))
		Expect(strings.Count(steps.all(), "provisioned")).To(Equal(1), steps.all())
		seen := readProof(first)
		address := first.HostName()
		Expect(fixture.TearDown(ctx, "warm_host")).To(Succeed())
		Expect(layerDomains()).To(HaveLen(1))
		Expect(virsh("net-dumpxml", "my_nat_network")).To(ContainSubstring("ip='"+address+"'"), "the address of the slot is reserved")

		second := up(steps.record(ctx), "warm_too")
		Expect(steps.all()).To(ContainSubstring("warm_too: restoring memory of slot 0"))
		Expect(readProof(second)).To(Equal(seen))
		Expect(second.HostName()).To(Equal(address))
		expectClockSet(second)
		Expect(overcast("cache", "ls", "-c", "qemu:///system")).To(MatchRegexp(`(?m)^[0-9a-f]{12}  warm +warm_host +my_base_domain  .*overcast-warm_too-`))

		expectReverts(ctx, second, seen)
		Expect(fixture.TearDown(ctx, "warm_too")).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("has a slot of its own in each process, and all are restored in the next run", func(ctx SpecContext) {
		DeferCleanup(prune)
		configure(`
			warm_one = ${guest} { warm = true, ` + proof + ` }
			warm_two = ${warm_one}
		`)
		var first, second recordedSteps
		hosts := []*fixture.CloudHost{up(first.record(ctx), "warm_one"), up(first.record(ctx), "warm_two")}
		Expect(first.all()).To(And(ContainSubstring("warm_one: saved memory slot 0"), ContainSubstring("warm_two: saved memory slot 1")))
		seen := []string{readProof(hosts[0]), readProof(hosts[1])}
		Expect(seen[0]).NotTo(Equal(seen[1]))
		Expect(fixture.TearDown(ctx, "warm_one")).To(Succeed())
		Expect(fixture.TearDown(ctx, "warm_two")).To(Succeed())

		hosts = []*fixture.CloudHost{up(second.record(ctx), "warm_two"), up(second.record(ctx), "warm_one")}
		Expect(second.all()).To(And(ContainSubstring("warm_two: restoring memory of slot 0"), ContainSubstring("warm_one: restoring memory of slot 1")))
		Expect([]string{readProof(hosts[0]), readProof(hosts[1])}).To(Equal(seen))
		Expect(fixture.TearDown(ctx, "warm_one")).To(Succeed())
		Expect(fixture.TearDown(ctx, "warm_two")).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	// remote has settings for hosts on the hypervisor as another machine. The guests' own
	// addresses can be reached.
	const remote = `libvirtURL = "qemu+ssh://user@linux-box/system", reach = direct`

	It("on a remote hypervisor boots once, and later hosts are restored from its memory", fast, func(ctx SpecContext) {
		DeferCleanup(prune)
		configure(`
			warm_far = ${guest} { warm = true, ` + remote + `, ` + proof + ` }
			warm_far_too = ${warm_far}
		`)
		var steps recordedSteps
		first := up(steps.record(ctx), "warm_far")
		Expect(steps.all()).To(ContainSubstring("warm_far: saved memory slot 0"))
		seen := readProof(first)
		address := first.HostName()
		generation := clones("warm_far")[0].GenID.Value
		Expect(fixture.TearDown(ctx, "warm_far")).To(Succeed())
		Expect(virsh("net-dumpxml", "my_nat_network")).To(ContainSubstring("ip='"+address+"'"), "the address of the slot is reserved")

		second := up(steps.record(ctx), "warm_far_too")
		Expect(steps.all()).To(ContainSubstring("warm_far_too: restoring memory of slot 0"))
		Expect(readProof(second)).To(Equal(seen))
		Expect(second.HostName()).To(Equal(address))
		Expect(clones("warm_far_too")[0].GenID.Value).NotTo(Equal(generation))
		Expect(listed("warm_far_too")).To(HaveLen(1), "its files are unlinked")
		expectClockSet(second)

		expectReverts(ctx, second, seen)
		Expect(fixture.TearDown(ctx, "warm_far_too")).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("boots if its memory cannot be restored, which is discarded, or if its address is taken", func(ctx SpecContext) {
		DeferCleanup(removeSlots)
		configure(`
			warm_broken = ${guest} { warm = true }
			other = ${guest}
		`)
		other := up(ctx, "other")
		discards := func(spoil func(address string)) {
			GinkgoHelper()
			host := up(ctx, "warm_broken")
			address := host.HostName()
			Expect(fixture.TearDown(ctx, "warm_broken")).To(Succeed())
			Expect(layerDomains()).To(HaveLen(1))
			spoil(address)
			var steps recordedSteps
			up(steps.record(ctx), "warm_broken")
			Expect(steps.count("discarded memory:")).To(Equal(1), steps.all())
			Expect(layerDomains()).To(BeEmpty())
			Expect(fixture.TearDown(ctx, "warm_broken")).To(Succeed())
		}
		By("breaking its memory")
		discards(func(string) {
			found, err := filepath.Glob(imageDir + "/overcast-warm_broken-*-memory.raw")
			Expect(err).NotTo(HaveOccurred())
			Expect(found).To(HaveLen(1))
			Expect(os.WriteFile(found[0], []byte("broken"), 0o600)).To(Succeed())
		})
		By("deleting its disk")
		discards(func(string) {
			found, err := filepath.Glob(imageDir + "/overcast-warm_broken-*.qcow2")
			Expect(err).NotTo(HaveOccurred())
			Expect(found).NotTo(BeEmpty())
			for _, disk := range found {
				virsh("vol-delete", filepath.Base(disk), "default")
			}
		})
		By("taking its address") // which the DHCP server would give to the next clone with its MAC address
		discards(func(address string) { run(logIn(other), "ip address add "+address+"/24 dev eth0") })
		Expect(fixture.TearDown(ctx, "other")).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("on a remote hypervisor has a slot of its own in each process, also if another machine takes it at the same time", func(ctx SpecContext) {
		DeferCleanup(prune)
		claim(staticAddress)
		const hosts = `
			warm_far_one = ${guest} { warm = true, ` + remote + `, ` + proof + ` }
			warm_far_two = ${warm_far_one}
		`
		configure(hosts)
		var steps recordedSteps
		seen := readProof(up(steps.record(ctx), "warm_far_one"))
		up(steps.record(ctx), "warm_far_two")
		Expect(steps.all()).To(And(ContainSubstring("warm_far_one: saved memory slot 0"), ContainSubstring("warm_far_two: saved memory slot 1")))
		Expect(fixture.TearDown(ctx, "warm_far_one")).To(Succeed())
		Expect(fixture.TearDown(ctx, "warm_far_two")).To(Succeed())

		By("planning slot 0 on another machine, which then waits for an address")
		up(ctx, "static_host")
		own := `guest { libvirtBaseDomain = my_base_domain, networkDeviceId = my_nat_network, connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY} }` + "\n"
		other := otherRun{via: anotherMachine, config: own + hosts + staticConfig}.bringsUp("warm_far_one,static_host")
		Eventually(other, time.Minute).Should(gbytes.Say("waiting for static address"))
		mine := up(steps.record(ctx), "warm_far_two")
		Expect(steps.all()).To(ContainSubstring("warm_far_two: restoring memory of slot 0"))

		By("letting it go on")
		Expect(fixture.TearDown(ctx, "static_host")).To(Succeed())
		other.address()
		Expect(string(other.Out.Contents())).To(MatchRegexp(`(?s)warm_far_one: restoring memory of slot 0.*warm_far_one: restoring memory of slot 1`))
		Expect(string(other.Out.Contents())).NotTo(ContainSubstring("discarded memory"))
		Expect(readProof(mine)).To(Equal(seen))
		other.ends()
		Expect(readProof(mine)).To(Equal(seen))
		Expect(fixture.TearDown(ctx, "warm_far_two")).To(Succeed())
	}, NodeTimeout(claimLimit+5*time.Minute))

	It("on a remote hypervisor boots if its memory cannot be restored, which is discarded", func(ctx SpecContext) {
		DeferCleanup(removeSlots)
		configure(`warm_far_broken = ${guest} { warm = true, ` + remote + ` }`)
		for what, spoil := range map[string]func(path string) error{
			"its volume has no save image": func(path string) error { return os.WriteFile(path, []byte("broken"), 0o600) },
			"its memory is truncated":      func(path string) error { return os.Truncate(path, 1<<20) },
		} {
			By(what)
			up(ctx, "warm_far_broken")
			Expect(fixture.TearDown(ctx, "warm_far_broken")).To(Succeed())
			found, err := filepath.Glob(imageDir + "/overcast-warm_far_broken-*-memory.raw")
			Expect(err).NotTo(HaveOccurred())
			Expect(found).To(HaveLen(1))
			Expect(spoil(found[0])).To(Succeed())
			var steps recordedSteps
			up(steps.record(ctx), "warm_far_broken")
			Expect(steps.count("discarded memory:")).To(Equal(1), steps.all())
			Expect(layerDomains()).To(BeEmpty())
			Expect(fixture.TearDown(ctx, "warm_far_broken")).To(Succeed())
			Expect(leftovers("warm_far_broken")).To(BeEmpty())
		}
	}, NodeTimeout(5*time.Minute))

	It("on a remote hypervisor whose process is killed is removed by the guard process", func() {
		DeferCleanup(removeSlots)
		killed := otherRun{config: `warm_far_killed { ` + remote + `, libvirtBaseDomain = my_base_domain, networkDeviceId = my_nat_network
			connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY}, warm = true }`}
		for _, step := range []string{"saved memory slot 0", "restoring memory of slot 0", "restoring memory of slot 0"} {
			run := killed.bringsUp("warm_far_killed")
			run.address()
			Expect(string(run.Out.Contents())).To(ContainSubstring(step))
			Expect(clones("warm_far_killed")).To(HaveLen(1))
			pid := run.Command.Process.Pid
			Expect(guardsOf(pid)).To(HaveLen(1))
			run.Kill().Wait(30 * time.Second)
			Eventually(func() []int { return guardsOf(pid) }).WithTimeout(2 * time.Minute).Should(BeEmpty())
			Expect(clones("warm_far_killed")).To(BeEmpty())
		}
		overcast("cache", "prune", "--all", "-c", "qemu:///system")
		Expect(leftovers("warm_far_killed")).To(BeEmpty())
	})

	It("boots if the domain of its slot was started, which changes the disk", func(ctx SpecContext) {
		DeferCleanup(removeSlots)
		configure(`warm_started = ${guest} { warm = true }`)
		var steps recordedSteps
		for range 2 {
			up(steps.record(ctx), "warm_started")
			Expect(fixture.TearDown(ctx, "warm_started")).To(Succeed())
		}
		Expect(steps.all()).To(And(ContainSubstring("restoring memory of slot 0"), Not(ContainSubstring("discarded memory"))))
		layer := layerDomains()[0]
		virsh("start", layer)
		disks, err := filepath.Glob(imageDir + "/overcast-warm_started-*.qcow2")
		Expect(err).NotTo(HaveOccurred())
		Expect(disks).To(HaveLen(1))
		written := func() time.Time {
			info, err := os.Stat(disks[0])
			Expect(err).NotTo(HaveOccurred())
			return info.ModTime()
		}
		before := written()
		Eventually(written).WithTimeout(time.Minute).Should(BeTemporally(">", before), "its system writes to the disk")
		virsh("destroy", layer)
		up(steps.record(ctx), "warm_started")
		Expect(steps.all()).To(ContainSubstring("discarded memory: the set-up goes on without it: its disks have changed"))
		Expect(steps.count("saved memory")).To(Equal(2))
		Expect(fixture.TearDown(ctx, "warm_started")).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("reserves one address although its provisioning changes", func(ctx SpecContext) {
		DeferCleanup(prune)
		reserved := func() int { return strings.Count(virsh("net-dumpxml", "my_nat_network"), "<host ") }
		for n := range 2 {
			configure(`warm_changed = ${guest} { warm = true, provision.cmd = "echo %d" }`, n)
			var steps recordedSteps
			up(steps.record(ctx), "warm_changed")
			Expect(steps.all()).To(ContainSubstring("saved memory slot 0"))
			Expect(fixture.TearDown(ctx, "warm_changed")).To(Succeed())
			Expect(layerDomains()).To(HaveLen(n + 1))
			Expect(reserved()).To(Equal(1))
		}
		By("restoring the earlier slot again")
		configure(`warm_changed = ${guest} { warm = true, provision.cmd = "echo 0" }`)
		var steps recordedSteps
		up(steps.record(ctx), "warm_changed")
		Expect(steps.all()).To(ContainSubstring("restoring memory of slot 0"))
		Expect(reserved()).To(Equal(2))
		Expect(fixture.TearDown(ctx, "warm_changed")).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("goes on after its memory is saved although other clones wait for memory", func(ctx SpecContext) {
		DeferCleanup(removeSlots)
		configure(`warm_tight = ${guest} { warm = true, memoryWait = 5 }`)
		total, _ := memoryOfLab()
		steps := recordedSteps{at: "reachable", do: func() {
			dir, err := filelock.Dir()
			Expect(err).NotTo(HaveOccurred())
			waiting, err := filelock.Join(ctx, dir, "memory-"+virsh("hostname"), filelock.Holder{PID: os.Getpid(), Label: "waiting", Since: time.Now(), Needs: total})
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(waiting.Release)
		}}
		up(steps.record(ctx), "warm_tight")
		Expect(steps.all()).To(ContainSubstring("warm_tight: saved memory slot 0"))
		Expect(steps.all()).NotTo(ContainSubstring("waiting for memory"))
		Expect(fixture.TearDown(ctx, "warm_tight")).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("has its slots made ahead of a run by overcast warm", func(ctx SpecContext) {
		DeferCleanup(removeSlots)
		configure(`warm_ahead = ${guest} { warm = true }`)
		Expect(overcast("warm", "warm_ahead", "--slots", "2")).To(And(
			ContainSubstring("warm_ahead[0]: saved memory slot "), ContainSubstring("warm_ahead[1]: saved memory slot ")))
		Expect(clones("warm_ahead")).To(BeEmpty())
		Expect(layerDomains()).To(HaveLen(2))
		var steps recordedSteps
		up(steps.record(ctx), "warm_ahead")
		Expect(steps.all()).To(ContainSubstring("restoring memory of slot 0"))
		Expect(fixture.TearDown(ctx, "warm_ahead")).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	It("of a user who cannot open the files of the pool is saved and restored through libvirt", func() {
		DeferCleanup(removeSlots)
		const config = `warm_user { libvirtURL = "qemu:///system", libvirtBaseDomain = my_base_domain, networkDeviceId = my_nat_network
			connection.url = "ssh://root@{0}?privateKeyFile="${user.home}"/lab_key", warm = true }`
		home := openDir()
		key, err := os.ReadFile(os.Getenv("LAB_SSH_KEY"))
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(filepath.Join(home, "lab_key"), key, 0o600)).To(Succeed())
		Expect(exec.Command("chown", "-R", "user", home).Run()).To(Succeed())
		as := otherRun{config: config, via: asUser, env: []string{"HOME=" + home}}
		for _, step := range []string{"saved memory slot 0", "restoring memory of slot 0"} {
			run := as.bringsUp("warm_user")
			run.address()
			Expect(string(run.Out.Contents())).To(ContainSubstring(step))
			run.ends()
		}
	})

	It("is restored in every run of a suite after the first, with one, two and four processes", func(ctx SpecContext) {
		DeferCleanup(removeSlots)
		dir := openDir()
		Expect(os.Symlink(childSuite(), filepath.Join(dir, "child.test"))).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "overcast.conf"), []byte(`warm_suite { libvirtURL = "qemu:///system", libvirtBaseDomain = my_base_domain
			networkDeviceId = my_nat_network, connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY}, warm = true }
			warm_shared = ${warm_suite} { scope = suite }`), 0o600)).To(Succeed())
		runWith := func(processes int) string {
			cmd := exec.CommandContext(ctx, ginkgoBinary(), "-v", fmt.Sprintf("-procs=%d", processes), "child.test")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "CHILD_DOES=pass", "CHILD_HOSTS=warm_suite warm_shared", "OVERCAST_SET=")
			out, err := cmd.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
			return string(out)
		}
		Expect(strings.Count(runWith(4), "saved memory slot")).To(Equal(5), "one for each process, and one for the host that they share")
		rounds := 1
		if os.Getenv(killsVariable) != "" {
			rounds = 3
		}
		for range rounds {
			for _, processes := range []int{1, 2, 4} {
				out := runWith(processes)
				Expect(strings.Count(out, "restoring memory of slot")).To(Equal(processes+1), out)
				Expect(out).NotTo(Or(ContainSubstring("saved memory"), ContainSubstring("not warm"), ContainSubstring("discarded memory")))
			}
		}
	}, NodeTimeout(15*time.Minute))

	It("is shared by processes, used exclusively and restored to its pristine state as any other", func() {
		DeferCleanup(removeSlots)
		claim(staticAddress)
		config := exclusiveConfig + "exclusive_own.warm = true, exclusive_static.warm = true\n"
		for _, step := range []string{"saved memory slot", "restoring memory of slot"} {
			said := failingSuite("exclusive", config, "-v")
			Expect(said).To(ContainSubstring("10 Passed | 2 Failed"))
			Expect(strings.Count(said, ": "+step)).To(Equal(3), "the host of each process, and the one that both share")
		}
	})

	// The guest mounts data by its fstab.
	for _, on := range []struct{ where, set string }{{}, {"on a remote hypervisor ", remote}} {
		It(on.where+"boots and says why if its memory cannot be saved", func(ctx SpecContext) {
			DeferCleanup(removeSlots)
			folder := GinkgoT().TempDir()
			Expect(os.Chmod(folder, 0o755)).To(Succeed())
			configure(`warm_mounted = ${guest} {
			warm = true, fsMapping.data.hostPath = %q
			%s
			provision.cmd = "echo one > /root/proof"
		}`, folder, on.set)
			var steps recordedSteps
			host := up(steps.record(ctx), "warm_mounted")
			Expect(steps.all()).To(MatchRegexp(`warm_mounted: not warm: .*mount tag data.*mountAt`))
			Expect(run(logIn(host), "cat /root/proof; grep -c /data /proc/mounts")).To(Equal("one\n1\n"), "the host goes on")
			Expect(leftovers("warm_mounted")).NotTo(ContainElement(HaveSuffix("-memory.raw")), "its volume is removed at once")
			Expect(layerDomains()).To(BeEmpty())
			Expect(fixture.TearDown(ctx, "warm_mounted")).To(Succeed())
			Expect(leftovers("warm_mounted")).To(BeEmpty())
			if on.set == "" {
				out, err := exec.Command(overcastBinary(), "warm", "warm_mounted").CombinedOutput()
				Expect(err).To(HaveOccurred(), "no slot was made")
				Expect(string(out)).To(ContainSubstring(`saving the memory of warm_mounted[0]: there is no slot of it`))
				Expect(leftovers("warm_mounted")).To(BeEmpty())
			}
		}, NodeTimeout(5*time.Minute))
	}

	It("runs warm.before and warm.after with the number of the slot, mounts its folders, and uses the layer of provision.cache", func(ctx SpecContext) {
		DeferCleanup(removeSlots)
		folder := GinkgoT().TempDir()
		Expect(os.Chmod(folder, 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(folder, "file"), []byte("content"), 0o644)).To(Succeed())
		configure(`warm_hooks = ${guest} {
			provision { cache = true, cmd = "echo once >> /root/provisioned" }
			warm { before = "echo before $OVERCAST_SLOT >> /dev/shm/hooks", after = "echo after $OVERCAST_SLOT >> /dev/shm/hooks" }
			fsMapping.files { hostPath = %q, mountAt = /files, readOnly = false }
		}`, folder)
		var steps recordedSteps
		for n := range 3 {
			host := up(steps.record(ctx), "warm_hooks")
			Expect(run(logIn(host), "cat /root/provisioned /files/file /dev/shm/hooks")).To(Equal("once\ncontentbefore 0\nafter 0\n"), fmt.Sprint(n))
			Expect(fixture.TearDown(ctx, "warm_hooks")).To(Succeed())
		}
		Expect(steps.count("building layer:")).To(Equal(5), steps.all())
		Expect(steps.count("saved memory")).To(Equal(1), steps.all())
		Expect(layerDomains()).To(HaveLen(2))
	}, NodeTimeout(5*time.Minute))

	It("keeps a static address, which has one slot", func(ctx SpecContext) {
		DeferCleanup(removeSlots)
		claim(staticAddress)
		configure(`warm_static = ${guest} { warm = true, libvirtBaseDomain = "lab-static", ipLookupStrategy = static, static.ip = ${LAB_STATIC_IP}, ` + proof + ` }`)
		var steps recordedSteps
		seen := readProof(up(steps.record(ctx), "warm_static"))
		Expect(fixture.TearDown(ctx, "warm_static")).To(Succeed())
		Expect(readProof(up(steps.record(ctx), "warm_static"))).To(Equal(seen))
		Expect(steps.all()).To(ContainSubstring("restoring memory of slot 0"))
		Expect(fixture.TearDown(ctx, "warm_static")).To(Succeed())
	}, NodeTimeout(claimLimit+5*time.Minute))

	// variable is a UEFI variable that a guest creates.
	const variable = "/sys/firmware/efi/efivars/Overcast-6a7c1b52-0d5e-4b8e-9a44-3f1c2d5e7f90"

	// restoresUEFI sets up a systemd guest that boots by UEFI, twice, and returns the second.
	restoresUEFI := func(ctx SpecContext, base, network, set string) *fixture.CloudHost {
		GinkgoHelper()
		DeferCleanup(func() {
			removeSlots()
			Expect(filepath.Glob(nvramDir + "/overcast-warm_uefi-*")).To(BeEmpty())
		})
		configure(`warm_uefi = ${guest} {
			libvirtBaseDomain = %s, networkDeviceId = %s
			%s
			provision.cmd = "cat /proc/sys/kernel/random/uuid > /dev/shm/proof; printf '\\007\\000\\000\\000x' > %s"
			warm = true, addressTimeout = 10 minutes, provision.startTimeout = 10 minutes
		}`, base, network, set, variable)
		var steps recordedSteps
		seen := readProof(up(steps.record(ctx), "warm_uefi"))
		Expect(fixture.TearDown(ctx, "warm_uefi")).To(Succeed())
		host := up(steps.record(ctx), "warm_uefi")
		Expect(steps.all()).To(ContainSubstring("restoring memory of slot 0"))
		Expect(readProof(host)).To(Equal(seen))
		Expect(host.Run(ctx, "tail -c 1 "+variable)).To(HaveField("Stdout", "x"))
		return host
	}

	It("with systemd and UEFI is restored with its variables, and renews its DHCP lease", func(ctx SpecContext) {
		requireDebian("lab-debian")
		network("renewing", 137, 20, "<lease expiry='2' unit='minutes'/>", noPing)
		define(asAnother("lab-debian", "renewing-base", "my_nat_network", "renewing"))
		host := restoresUEFI(ctx, "renewing-base", "renewing", "")
		until := func() string { return virsh("net-dhcp-leases", "renewing") }
		first := until()
		Eventually(until).WithTimeout(3*time.Minute).WithPolling(time.Second).ShouldNot(Equal(first), "the guest renews its lease")
		Expect(until()).To(ContainSubstring(host.HostName()))
		Expect(host.Run(ctx, "true")).To(HaveField("ExitCode", 0))
		expectReverts(ctx, host, readProof(host))
		Expect(fixture.TearDown(ctx, "warm_uefi")).To(Succeed())
	}, NodeTimeout(20*time.Minute))

	It("on a remote hypervisor with systemd and UEFI is restored with its variables", func(ctx SpecContext) {
		requireSlow()
		requireDebian("lab-debian")
		restoresUEFI(ctx, "lab-debian", "my_nat_network", remote)
		Expect(fixture.TearDown(ctx, "warm_uefi")).To(Succeed())
	}, NodeTimeout(20*time.Minute))

	It("of an image has the host key of its slot, and cloud-init does not run again", func(ctx SpecContext) {
		path := requireCloudImage()
		DeferCleanup(removeSlots)
		configure(cloudConfig+`
			warm_cloud = ${cloud} { warm = true, provision.cmd = "uptime -s > /dev/shm/proof" }
		`, path)
		var steps recordedSteps
		seen := run(logIn(up(steps.record(ctx), "warm_cloud")), "cat /dev/shm/proof /run/cloud-init/instance-data.json | md5sum")
		Expect(fixture.TearDown(ctx, "warm_cloud")).To(Succeed())
		host := up(steps.record(ctx), "warm_cloud")
		Expect(steps.all()).To(ContainSubstring("restoring memory of slot 0"))
		Expect(run(logIn(host), "cat /dev/shm/proof /run/cloud-init/instance-data.json | md5sum")).To(Equal(seen))
		Expect(fixture.TearDown(ctx, "warm_cloud")).To(Succeed())
	}, NodeTimeout(40*time.Minute))
}

var _ = Describe("a process that is killed at any moment of a warm set-up", Serial, func() {
	leavesWholeSlots := func(ctx SpecContext, url string, kills int) {
		GinkgoHelper()
		DeferCleanup(removeSlots)
		const atOnce = 2
		if asked, err := strconv.Atoi(os.Getenv(killsVariable)); err == nil {
			kills = asked
		}
		config := `warm_killed { libvirtURL = "` + url + `", libvirtBaseDomain = my_base_domain, networkDeviceId = my_nat_network
			connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY}, warm = true }`
		var all sync.WaitGroup
		for range atOnce {
			all.Go(func() {
				defer GinkgoRecover()
				for range kills / atOnce {
					run := otherRun{config: config}.bringsUp("warm_killed")
					wait(ctx, rand.N(16*time.Second)) // a boot with a save, or two restores
					run.Kill().Wait(30 * time.Second)
				}
			})
		}
		all.Wait()
		if url == "qemu:///system" && libvirtdCrashes() == crashesBefore {
			Eventually(clones).WithArguments("warm_killed").WithTimeout(30 * time.Second).Should(BeEmpty())
		}
		overcast("gc", "warm_killed", "-c", "qemu:///system")
		Expect(clones("warm_killed")).To(BeEmpty())

		By("restoring from the slots that are left")
		configure("%s", config)
		up(ctx, "warm_killed")
		Expect(fixture.TearDown(ctx, "warm_killed")).To(Succeed())
		overcast("cache", "prune", "--all", "-c", "qemu:///system")
		overcast("gc", "warm_killed", "-c", "qemu:///system")
		Expect(leftovers("warm_killed")).To(BeEmpty())
		Expect(layerDomains()).To(BeEmpty())
	}

	It("leaves nothing but whole slots after overcast gc, 10 times, or 100 times (make kills)", func(ctx SpecContext) {
		leavesWholeSlots(ctx, "qemu:///system", killedRuns)
	})

	It("leaves nothing but whole slots on a remote hypervisor after overcast gc, 4 times, or 100 times (make kills)", func(ctx SpecContext) {
		leavesWholeSlots(ctx, "qemu+ssh://user@linux-box/system", 4)
	})
})
