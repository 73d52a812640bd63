package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/provider/libvirt"
)

// listed returns the resources of a label that overcast ls lists.
func listed(label string) []libvirt.Resource {
	GinkgoHelper()
	var all, found []libvirt.Resource
	Expect(json.Unmarshal([]byte(overcast("ls", "--json", "-c", "qemu:///system")), &all)).To(Succeed())
	for _, m := range all {
		if m.Label == label {
			found = append(found, m)
		}
	}
	return found
}

// asIfDead replaces the owner's PID in metadata by one that no process has.
func asIfDead(text string) string {
	text = regexp.MustCompile(`random=["']\w+["']`).ReplaceAllString(text, "")
	return regexp.MustCompile(`process=(["'])\d+["']`).ReplaceAllString(text, `process=${1}4194304${1}`)
}

// asIfElsewhere replaces the owner's machine in metadata by another one.
func asIfElsewhere(text string) string {
	return regexp.MustCompile(`machine=(["'])[0-9a-f]{32}["']`).ReplaceAllString(text, `machine=${1}deadbeefdeadbeefdeadbeefdeadbeef${1}`)
}

// copyOf defines a shut-off domain with the metadata of a clone that runs.
func copyOf(label, name string, change func(string) string) {
	GinkgoHelper()
	found := clones(label)
	Expect(found).To(HaveLen(1))
	own := regexp.MustCompile(`name=(["'])overcast-[^"']*["']`).ReplaceAllString(found[0].Metadata.XML, `name=${1}`+name+`${1}`)
	define(`<domain type='qemu'><name>` + name + `</name><metadata>` + change(own) + `</metadata><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>`)
}

// ownerGone is the name of a clone of a process of this machine that has ended.
func ownerGone(name string) string {
	return regexp.MustCompile(`-\d+-\d+-([0-9a-f]{8})$`).ReplaceAllString(name, "-4194304-1-$1")
}

var _ = Describe("garbage collection", Serial, func() {
	It("keeps a volume without a domain while a QEMU process has it open", func(ctx SpecContext) {
		configure(`namesake = ${booting}`)
		up(ctx, "namesake")
		volume := ownerGone(clones("namesake")[0].Name) + "-vda.qcow2"
		image := emptyDisk(volume, "qcow2", "8M")
		DeferCleanup(os.WriteFile, image, []byte(nil), os.FileMode(0o600)) // emptyDisk removes it
		Expect(exec.Command("qemu-io", "-c", "write 0 1M", image).Run()).To(Succeed())
		eventuallyRefresh("default")
		// It stands for a domain of another hypervisor that has a pool over the folder.
		other := exec.Command("qemu-system-x86_64", "-display", "none", "-S", "-drive", "if=virtio,format=qcow2,file="+image)
		Expect(other.Start()).To(Succeed())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = other.Wait() }()
		DeferCleanup(func() { _ = other.Process.Kill(); <-ended })
		skipReason := func() string {
			for _, r := range listed("namesake") {
				if r.Name == volume {
					return r.SkipReason
				}
			}
			return ""
		}
		Eventually(skipReason).WithTimeout(30 * time.Second).Should(Equal("a QEMU process has it open"))
		Expect(overcast("gc", "-c", "qemu:///system")).NotTo(ContainSubstring(volume))
		Expect(image).To(BeAnExistingFile())
		Expect(other.Process.Kill()).To(Succeed())
		<-ended
		Expect(overcast("gc", "-c", "qemu:///system")).To(ContainSubstring(volume))
		Expect(image).NotTo(BeAnExistingFile())
	})

	It("removes a temporary pool that a process on another machine has left", func() {
		const name = "overcast-left-ffffffffffffffff-1-1-0123abcd-look1"
		virsh("pool-create-as", name, "dir", "--target", openDir())
		DeferCleanup(func() { _ = exec.Command("virsh", "-q", "-c", "qemu:///system", "pool-destroy", name).Run() })
		Expect(overcast("gc", "-c", "qemu:///system")).To(ContainSubstring(name))
		Expect(virsh("pool-list", "--all", "--name")).NotTo(ContainSubstring(name))
	})

	It("lists resources with their owners and keeps those of a live run", func(ctx SpecContext) {
		configure(`living = ${booting} { overlay = file }`)
		up(ctx, "living")
		process := func() string {
			configure(`other_run = ${booting}`)
			child("other_run")
			configure(`living = ${booting}`)
			return "other_run"
		}()
		overcast("gc")
		for _, label := range []string{"living", process} {
			made := listed(label)
			Expect(made).NotTo(BeEmpty())
			Expect(made[0].Kind).To(Equal("domain"))
			Expect(made[0].Parent).To(Equal("my_base_domain"))
			Expect(made[0].State).To(Equal("running"))
			Expect(made[0].Created).To(BeTemporally("~", time.Now(), time.Minute))
			for _, m := range made {
				Expect(m.OwnerState).To(Equal("alive"))
				Expect(m.SkipReason).To(Equal("its owner is alive"))
			}
		}
		Expect(listed("living")).To(HaveLen(2), "a domain and a volume")
		Expect(overcast("ls")).To(MatchRegexp(`gc keeps\s+it:\s+its\s+owner\s+is\s+alive`))
	})

	It("removes only resources without an owner", func(ctx SpecContext) {
		configure(`model = ${booting}`)
		up(ctx, "model")
		name := func(pid int) string {
			return regexp.MustCompile(`-\d+-(\d+)-[0-9a-f]{8}$`).ReplaceAllString(clones("model")[0].Name, fmt.Sprintf("-%d-${1}-01234567", pid))
		}
		dead, living := name(4194304), name(os.Getpid())
		for _, volume := range []string{dead + "-vda.qcow2", living + "-vda.qcow2", "overcast-mine.qcow2"} {
			virsh("vol-create-as", "default", volume, "1M")
			DeferCleanup(func() { _ = exec.Command("virsh", "-q", "-c", "qemu:///system", "vol-delete", volume, "default").Run() })
		}
		elsewhere := regexp.MustCompile(`-[0-9a-f]{16}-`).ReplaceAllString(dead, "-deadbeefdeadbeef-")
		virsh("vol-create-as", "default", elsewhere+"-vda.qcow2", "1M")
		DeferCleanup(func() { virsh("vol-delete", elsewhere+"-vda.qcow2", "default") })
		used := strings.Replace(dead, "01234567", "89abcdef", 1) + "-vda.qcow2"
		virsh("vol-create-as", "default", used, "1M")
		DeferCleanup(func() { virsh("vol-delete", used, "default") })
		define(`<domain type='qemu'><name>a-persons</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
			<devices><disk type='file' device='disk'><source file='` + imageDir + "/" + used + `'/><target dev='vda'/></disk></devices></domain>`)
		copyOf("model", "overcast-fake", func(text string) string {
			return regexp.MustCompile(`name=(["'])overcast-fake["']`).ReplaceAllString(asIfDead(text), `name=${1}another${1}`)
		})

		would := overcast("gc", "--dry-run", "-c", "qemu:///system")
		Expect(would).To(And(ContainSubstring("would remove volume "+dead+"-vda.qcow2"), Not(ContainSubstring(living)), Not(ContainSubstring(elsewhere)), Not(ContainSubstring(used))))
		Expect(leftovers("model")).To(ContainElement(dead + "-vda.qcow2"))

		Expect(overcast("gc", "-c", "qemu:///system")).To(Equal(strings.ReplaceAll(would, "would remove", "removed")))
		Expect(leftovers("model")).To(ConsistOf(clones("model")[0].Name, living+"-vda.qcow2", elsewhere+"-vda.qcow2", used))
		Expect(virsh("list", "--all", "--name")).To(And(ContainSubstring("a-persons"), ContainSubstring("overcast-fake")))
		Expect(imageDir + "/overcast-mine.qcow2").To(BeAnExistingFile())
	})

	It("removes domains and volumes when their process has ended or, on another machine, their lease has expired", func(ctx SpecContext) {
		configure(`model = ${booting} { ownerLease = 1 }`)
		up(ctx, "model")
		copyOf("model", "overcast-dead", asIfDead)
		copyOf("model", "overcast-elsewhere", asIfElsewhere)
		copyOf("model", "overcast-elsewhere-later", func(text string) string {
			return strings.Replace(asIfElsewhere(text), `seconds="1"`, `seconds="3600"`, 1)
		})
		// The living owner renews its lease, the copies' does not.
		renewed := func() string {
			return regexp.MustCompile(`renewed=["']([^"']*)`).FindStringSubmatch(clones("model")[0].Metadata.XML)[1]
		}
		first := renewed()
		Eventually(renewed).WithTimeout(10 * time.Second).ShouldNot(Equal(first))
		Eventually(func() string { return overcast("gc", "-c", "qemu:///system") }).WithTimeout(10 * time.Second).Should(ContainSubstring("overcast-elsewhere "))
		names := virsh("list", "--all", "--name")
		Expect(names).To(And(Not(ContainSubstring("overcast-dead")), ContainSubstring("overcast-elsewhere-later"), ContainSubstring("overcast-model-")))
	})

	It("recognises resources of Overcast for Java and keeps them", func() {
		define(`<domain type='qemu'><name>centos-1234</name><metadata><overcast_metadata xmlns="http://www.xebialabs.com/overcast/metadata/v1"><parent_domain>centos6</parent_domain><creation_time>2014-10-31T15:07:38Z</creation_time></overcast_metadata></metadata>
			<memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>`)
		Expect(overcast("ls", "-c", "qemu:///system")).To(MatchRegexp(`(?s)Overcast for Java.*domain centos-1234, clone of centos6, .*gc keeps it:\s+created\s+by\s+Overcast\s+for\s+Java`))
		Expect(overcast("gc", "-c", "qemu:///system")).NotTo(ContainSubstring("centos"))
		Expect(virsh("list", "--all", "--name")).To(ContainSubstring("centos-1234"))
	})
})

// kills is how often a process is killed at a random moment.
const kills = 50

var _ = Describe("a process that is killed at any moment", Serial, func() {
	It("leaves no domain, and no volume after the next run starts", func(ctx SpecContext) {
		defineEverything("doomed-base", `<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>`)
		configure(`%s`, `next = ${booting}, doomed_0 = ${booting}, doomed_1 = ${booting} { overlay = file }, doomed_2 = ${booting} { keep = on-failure }
			doomed_3 = ${booting} { libvirtBaseDomain = doomed-base }, doomed_4 = ${booting} { libvirtBaseDomain = doomed-base, overlay = file }`)
		before := belongings()
		var all sync.WaitGroup
		const atOnce = 5
		for n := range atOnce {
			all.Go(func() {
				defer GinkgoRecover()
				for range kills / atOnce {
					killAtRandom(fmt.Sprintf("doomed_%d", n), 1500*time.Millisecond)
				}
			})
		}
		all.Wait()
		// libvirtd destroys the domains with autodestroy; the next set-up of any process
		// removes the rest.
		Eventually(func() string { return virsh("list", "--name") }).WithTimeout(60 * time.Second).ShouldNot(MatchRegexp("overcast-doomed_[0134]"))
		child("next")
		Expect(virsh("list", "--all", "--name")).NotTo(ContainSubstring("overcast-doomed"))
		for n := range atOnce {
			Expect(leftovers(fmt.Sprintf("doomed_%d", n))).To(BeEmpty())
		}
		Expect(overcast("gc")).NotTo(ContainSubstring("doomed"))
		Eventually(belongings).WithTimeout(30 * time.Second).Should(HaveLen(len(before) + len(clonesFiles("next"))))
	})
})

// clonesFiles are the belongings of a clone that runs.
func clonesFiles(label string) []string {
	var found []string
	for _, path := range belongings() {
		if strings.Contains(filepath.Base(path), "overcast-"+label+"-") {
			found = append(found, path)
		}
	}
	return found
}

// killAtRandom starts a process that sets a host up and kills it within a time.
func killAtRandom(label string, within time.Duration) {
	GinkgoHelper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childVariable+"="+label)
	_, err := cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(cmd.Start()).To(Succeed())
	killing := time.AfterFunc(rand.N(within), func() { _ = cmd.Process.Kill() })
	defer killing.Stop()
	_ = cmd.Wait()
}

var _ = Describe("a kept clone", Serial, func() {
	AfterEach(func() {
		for _, name := range strings.Fields(virsh("list", "--name")) {
			if strings.HasPrefix(name, "overcast-kept") {
				virsh("destroy", name)
			}
		}
	})

	It("remains after a failed test, with a message how to reach and remove it", func() {
		configure(`kept = ${booting} { keep = on-failure }`)
		out := failingChild("kept")
		Expect(out).To(And(ContainSubstring("overcast: kept: domain overcast-kept-"), ContainSubstring("virsh -c 'qemu:///system' console overcast-kept-"), ContainSubstring("overcast gc")))
		found := listed("kept")
		Expect(found).To(HaveLen(1))
		Expect(found[0].Kept).To(BeTrue())
		Expect(found[0].State).To(Equal("running"))

		configure(`next = ${booting}`)
		process := child("next") // whose start sweeps
		Expect(process.Process.Kill()).To(Succeed())
		Expect(listed("kept")).To(HaveLen(1), "a set-up does not remove it")
		Expect(overcast("gc", "-c", "qemu:///system")).To(ContainSubstring("removed domain overcast-kept-"))
		Expect(leftovers("kept")).To(BeEmpty())
	})

	It("remains with OVERCAST_KEEP=always, independent of the configuration", func(ctx SpecContext) {
		GinkgoT().Setenv("OVERCAST_KEEP", "always")
		configure(`kept_always = ${booting}`)
		_, err := fixture.SetUp(ctx, "kept_always")
		Expect(err).NotTo(HaveOccurred())
		Expect(fixture.TearDown(ctx, "kept_always")).To(Succeed())
		_, err = fixture.Lookup("kept_always")
		Expect(err).To(MatchError(fixture.ErrNotSetUp))
		Expect(leftovers("kept_always")).To(HaveLen(1))
	})

	It("remains when its guest has ended if it has overlay files", func(ctx SpecContext) {
		uuid := defineEverything("kept-base", `<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>`)
		Expect(uuid).NotTo(BeEmpty())
		configure(`%s`, `kept_file = ${booting} { libvirtBaseDomain = kept-base, overlay = file, keep = on-failure }, next = ${booting}`)
		Expect(failingChild("kept_file")).To(And(ContainSubstring("is kept"), Not(ContainSubstring("virsh -c 'qemu:///system' destroy"))))
		virsh("destroy", listed("kept_file")[0].Name)
		process := child("next") // whose start sweeps
		Expect(process.Process.Kill()).To(Succeed())
		found := listed("kept_file")
		Expect(found).To(HaveLen(3), "a domain and two volumes")
		Expect(found[0].Kept).To(BeTrue())
		Expect(found[0].State).To(Equal("shut off"))
		overcast("gc", "-c", "qemu:///system")
		Expect(leftovers("kept_file")).To(BeEmpty())
	})

	It("is removed when its set-up is cancelled at any moment", func(ctx SpecContext) {
		configure(`kept_cancelled = ${booting} { keep = always, addressTimeout = 60 }`)
		for range 10 {
			within, cancel := context.WithTimeout(ctx, rand.N(400*time.Millisecond))
			_, err := fixture.SetUp(within, "kept_cancelled")
			cancel()
			if err != nil {
				Expect(leftovers("kept_cancelled")).To(BeEmpty(), "%v", err)
				continue
			}
			virsh("destroy", clones("kept_cancelled")[0].Name) // it is up, and always kept
			Expect(fixture.TearDown(ctx, "kept_cancelled")).To(Succeed())
		}
	})

	It("is removed when no test has failed", func() {
		configure(`kept_not = ${booting} { keep = on-failure }`)
		process := child("kept_not")
		Expect(process.Process.Signal(os.Interrupt)).To(Succeed())
		_ = process.Wait()
		overcast("gc", "-c", "qemu:///system")
		Eventually(leftovers).WithArguments("kept_not").WithTimeout(30 * time.Second).Should(BeEmpty())
	})

	It("remains when its set-up fails, and the error says how to reach it", func(ctx SpecContext) {
		configure(`kept_locked = ${booting} { connection.url = "ssh://nobody@{0}:23", provision.startTimeout = 1, keep = on-failure }`)
		_, err := fixture.SetUp(ctx, "kept_locked")
		Expect(err).To(MatchError(fixture.ErrNotReachable))
		Expect(err).To(MatchError(MatchRegexp("domain overcast-kept_locked-.* is kept")))
		Expect(leftovers("kept_locked")).To(HaveLen(1))
	})
})

// failingChild is a test in a process of its own that fails once its host is up.
func failingChild(label string) string {
	GinkgoHelper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFailingChild$", "-test.v")
	cmd.Env = append(os.Environ(), childVariable+"="+label)
	out, err := cmd.CombinedOutput()
	Expect(err).To(HaveOccurred(), string(out))
	Expect(string(out)).To(ContainSubstring("failing at "), "the child fails for another reason")
	return string(out)
}
