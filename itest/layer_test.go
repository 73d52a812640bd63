package itest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/overcast-go/overcast/fixture"
)

// Ordered keeps all specs on one process: each expects no layers but its own. They take
// almost half of the whole suite, so they begin first: the other process has the rest.
var _ = Describe("layers:", Ordered, ContinueOnFailure, SpecPriority(2), func() {
	Describe("a host with provision.cache", specsOfProvisioningCache)
	Describe("a host with provision.cache and sync", specsOfSyncedBuilders)
	Describe("a warm host", specsOfWarmHosts)
	Describe("a warm host", specsOfFailingSlots)
})

func specsOfProvisioningCache() {
	It("is provisioned once, and later hosts are clones of the layer", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		copied := filepath.Join(GinkgoT().TempDir(), "copied")
		Expect(os.WriteFile(copied, []byte("one"), 0o600)).To(Succeed())
		configure(`
			layered = ${guest} { provision { cache = true, copy = [%q, /root/copied], cmd = "date >> /root/provisioned; echo >> /root/provisioned" } }
			layered_too = ${layered}
		`, copied)
		base := contentOf(imageDir + "/my_base_domain.qcow2")
		var steps recordedSteps
		first := up(steps.record(ctx), "layered")
		Expect(steps.all()).To(ContainSubstring("layered: building layer: booted, provisioned, shut down, published"))
		Expect(steps.count("using cached layer")).To(Equal(1), steps.all())
		seen := run(logIn(first), "cat /root/provisioned /root/copied")
		Expect(seen).To(HaveSuffix("one"))
		Expect(fixture.TearDown(ctx, "layered")).To(Succeed())
		Expect(leftovers("layer")).To(HaveLen(1+1), "the layer's domain and its volume")

		unused(only(layerDomains()), 15)
		second := up(steps.record(ctx), "layered_too")
		Expect(steps.all()).NotTo(ContainSubstring("evicted layer"))
		Expect(steps.all()).To(MatchRegexp(`layered_too: using cached layer [0-9a-f]{12} \(\d+ (s|min) old\)`))
		Expect(steps.count("building layer:")).To(Equal(5), steps.all())
		Expect(run(logIn(second), "cat /root/provisioned /root/copied")).To(Equal(seen), "it was not provisioned again")
		Expect(registry.Status("layered_too", 0).Saved).To(BeNumerically(">", 0), "the time that provisioning took")
		Expect(overcast("cache", "ls", "-c", "qemu:///system")).To(MatchRegexp(`(?m)^[0-9a-f]{12}  provisioned +layered +my_base_domain  .*overcast-layered_too-`))
		Expect(contentOf(imageDir + "/my_base_domain.qcow2")).To(Equal(base))
	}, NodeTimeout(5*time.Minute))

	It("is made without a layer that does not boot, or lacks its volume, which is discarded", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		configure(`layer_broken = ${guest} { provision { cache = true, cmd = "echo provisioned > /root/proof" } }`)
		for what, spoil := range map[string]func(volume string){
			"it does not boot": func(volume string) {
				Expect(os.WriteFile(filepath.Join(imageDir, volume), []byte("broken"), 0o600)).To(Succeed())
			},
			"its volume is gone": func(volume string) { virsh("vol-delete", volume, "default") },
		} {
			By(what)
			up(ctx, "layer_broken")
			Expect(fixture.TearDown(ctx, "layer_broken")).To(Succeed())
			for _, name := range leftovers("layer") {
				if filepath.Ext(name) == ".qcow2" {
					spoil(name)
				}
			}
			var steps recordedSteps
			host := up(steps.record(ctx), "layer_broken")
			Expect(steps.count("discarded layer:")).To(Equal(1), steps.all())
			Expect(run(logIn(host), "cat /root/proof")).To(Equal("provisioned\n"))
			Expect(layerDomains()).To(BeEmpty())
			Expect(fixture.TearDown(ctx, "layer_broken")).To(Succeed())
		}
	}, NodeTimeout(5*time.Minute))

	// Each provisioning writes another text.
	const provisioning = `cmd = "cat /proc/sys/kernel/random/uuid > /root/proof"`

	proofOf := func(ctx SpecContext, steps *recordedSteps, label string) string {
		GinkgoHelper()
		proof := run(logIn(up(steps.record(ctx), label)), "cat /root/proof")
		Expect(fixture.TearDown(ctx, label)).To(Succeed())
		return proof
	}

	// configureProcesses configures hosts of this process, and of others.
	configureProcesses := func(hosts string) func(env ...string) otherRun {
		configure("%s", hosts)
		suite, err := os.ReadFile("overcast.conf")
		Expect(err).NotTo(HaveOccurred())
		return func(env ...string) otherRun { return otherRun{config: string(suite) + hosts, env: env} }
	}

	It("has a layer for each expiration tag, and a tag command that fails is an error", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		tag := filepath.Join(GinkgoT().TempDir(), "tag")
		configure(`tagged = ${guest} { provision { expirationTag.cmd = "cat %s", `+provisioning+` } }`, tag)
		_, err := fixture.SetUp(ctx, "tagged")
		Expect(err).To(MatchError(And(ContainSubstring("provision.expirationTag.cmd"), ContainSubstring("No such file"))))

		var steps recordedSteps
		setTag := func(text string) { Expect(os.WriteFile(tag, []byte(text), 0o600)).To(Succeed()) }
		setTag("one")
		one := proofOf(ctx, &steps, "tagged")
		setTag("two")
		Expect(proofOf(ctx, &steps, "tagged")).NotTo(Equal(one))
		Expect(strings.Count(steps.all(), "published")).To(Equal(2), steps.all())
		setTag("one\n")
		Expect(proofOf(ctx, &steps, "tagged")).To(Equal(one))
		Expect(strings.Count(steps.all(), "published")).To(Equal(2), steps.all())
	}, NodeTimeout(5*time.Minute))

	It("is provisioned as without a layer with OVERCAST_CACHE=off, and its layer is built again with refresh", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		inProcess := configureProcesses(`switched = ${guest} { provision { cache = true, ` + provisioning + ` } }`)
		var steps recordedSteps
		GinkgoT().Setenv("OVERCAST_CACHE", "off")
		proofOf(ctx, &steps, "switched")
		Expect(steps.all()).NotTo(ContainSubstring("layer"))
		Expect(layerDomains()).To(BeEmpty())

		GinkgoT().Setenv("OVERCAST_CACHE", "")
		built := proofOf(ctx, &steps, "switched")
		refreshing := inProcess("OVERCAST_CACHE=refresh").bringsUp("switched")
		refreshing.address()
		Expect(string(refreshing.Out.Contents())).To(ContainSubstring("published"))
		Expect(refreshing.stdin.Close()).To(Succeed())
		Eventually(refreshing).WithTimeout(time.Minute).Should(gexec.Exit(0))
		Expect(proofOf(ctx, &steps, "switched")).NotTo(Equal(built))
		Expect(strings.Count(steps.all(), "published")).To(Equal(1), steps.all())
		Expect(layerDomains()).To(HaveLen(1))
	}, NodeTimeout(5*time.Minute))

	It("is not cached if a file of provision.copy changes before the layer is published", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		copied := filepath.Join(GinkgoT().TempDir(), "copied")
		Expect(os.WriteFile(copied, []byte("one"), 0o600)).To(Succeed())
		configure(`copy_changes = ${guest} { provision { cache = true, copy = [%q, /root/copied] } }`, copied)
		steps := recordedSteps{at: "building layer:", do: func() { Expect(os.WriteFile(copied, []byte("two"), 0o600)).To(Succeed()) }}
		host := up(steps.record(ctx), "copy_changes")
		Expect(steps.all()).To(ContainSubstring("copy_changes: not cached: publishing the layer: " + copied + " changed while the host was provisioned"))
		Expect(run(logIn(host), "cat /root/copied")).To(Equal("two"))
		Expect(layerDomains()).To(BeEmpty())
		Expect(fixture.TearDown(ctx, "copy_changes")).To(Succeed())
		Expect(leftovers("layer")).To(BeEmpty())
	}, NodeTimeout(5*time.Minute))

	It("has its layer built by one of the processes that need it at the same time", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		inProcess := configureProcesses(`together = ${guest} { provision { cache = true, ` + provisioning + ` } }`)
		var runs []*runOfOne
		for range 3 {
			runs = append(runs, inProcess().bringsUp("together"))
		}
		published := 0
		for _, r := range runs {
			r.address()
			Expect(string(r.Out.Contents())).To(ContainSubstring("using cached layer"))
			published += strings.Count(string(r.Out.Contents()), "published")
		}
		Expect(published).To(Equal(1))
		for _, r := range runs {
			r.ends()
		}
		Expect(leftovers("layer")).To(HaveLen(1+1), "the layer's domain and its volume")
	}, NodeTimeout(5*time.Minute))

	It("has its layer built by another process after the builder was killed", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		inProcess := configureProcesses(`builder_killed = ${guest} { provision { cache = true, cmd = "sleep 2; echo provisioned > /root/proof" } }`)
		builder := inProcess().bringsUp("builder_killed")
		Eventually(builder).WithTimeout(2 * time.Minute).Should(gbytes.Say("building layer: booted"))
		builder.Kill().Wait(30 * time.Second)
		var steps recordedSteps
		Expect(proofOf(ctx, &steps, "builder_killed")).To(Equal("provisioned\n"))
		Expect(strings.Count(steps.all(), "published")).To(Equal(1), steps.all())
		key := regexp.MustCompile(`using cached layer (\S+)`).FindStringSubmatch(steps.all())
		Expect(key).NotTo(BeNil(), steps.all())
		overcast("gc", "builder_killed", "layer-"+key[1], "-c", "qemu:///system") // as the next process does at its start
		Expect(leftovers("builder_killed")).To(BeEmpty())
		Expect(leftovers("layer")).To(HaveLen(1+1), "the layer's domain and its volume")
	}, NodeTimeout(5*time.Minute))

	It("has its tag computed on the machine of expirationTag.url", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		dir := openDir()
		Expect(os.Chmod(dir, 0o777)).To(Succeed())
		setTag := func(text string) { Expect(os.WriteFile(filepath.Join(dir, "tag"), []byte(text), 0o644)).To(Succeed()) }
		configure(`remote_tag = ${guest} { provision { `+provisioning+`, expirationTag {
			url = "ssh://user@linux-box?privateKeyFile="${user.home}"/.ssh/id_rsa&passphrase=bigsecret"
			cmd = "cd %s; id -un >> users; cat tag"
		} } }`, dir)
		_, err := fixture.SetUp(ctx, "remote_tag")
		Expect(err).To(MatchError(And(ContainSubstring("provision.expirationTag.cmd"), ContainSubstring("No such file"))))
		var steps recordedSteps
		setTag("one")
		one := proofOf(ctx, &steps, "remote_tag")
		setTag(" one\n")
		Expect(proofOf(ctx, &steps, "remote_tag")).To(Equal(one))
		Expect(strings.Count(steps.all(), "published")).To(Equal(1), steps.all())
		Expect(os.ReadFile(filepath.Join(dir, "users"))).To(Equal([]byte("user\nuser\nuser\n")))
	}, NodeTimeout(5*time.Minute))

	It("has its layer published once by two machines that build it at the same time", func(SpecContext) {
		DeferCleanup(removeLayers)
		inProcess := configureProcesses(`two_machines = ${guest} { provision { cache = true, cmd = "sleep 5; cat /proc/sys/kernel/random/uuid > /root/proof" } }`)
		elsewhere := inProcess()
		elsewhere.via = anotherMachine
		runs := []*runOfOne{inProcess().bringsUp("two_machines"), elsewhere.bringsUp("two_machines")}
		proofs := map[string]bool{}
		output := ""
		for _, r := range runs {
			proofs[run(guestAt(r.address()), "cat /root/proof")] = true
			output += string(r.Out.Contents())
		}
		Expect(strings.Count(output, "building layer: booting")).To(Equal(2), "both build")
		Expect(strings.Count(output, "another machine has published it before")).To(Equal(1), output)
		Expect(proofs).To(HaveLen(1), "both hosts are clones of one layer")
		for _, r := range runs {
			r.ends()
		}
		Expect(leftovers("layer")).To(HaveLen(1+1), "the layer's domain and its volume")
	}, NodeTimeout(8*time.Minute))

	It("is provisioned without a layer if its base has a TPM, and says why", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		define(asAnother("my_base_domain", "tpm-base", "</devices>", "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>"))
		configure(`with_tpm = ${guest} { libvirtBaseDomain = tpm-base, provision { cache = true, ` + provisioning + ` } }`)
		var steps recordedSteps
		Expect(proofOf(ctx, &steps, "with_tpm")).NotTo(BeEmpty())
		Expect(steps.all()).To(ContainSubstring("with_tpm: not cached: its base has an emulated TPM, whose state a layer cannot have"))
		Expect(layerDomains()).To(BeEmpty())
	}, NodeTimeout(5*time.Minute))
}

// Serial keeps the gc of another spec from removing the builder.
var _ = Describe("the builder of a layer", Serial, func() {
	It("is kept when provisioning fails, with keep = on-failure", func(SpecContext) {
		configure(`kept_builder = ${guest} { keep = on-failure, provision { cache = true, cmd = "echo seen > /root/proof; echo broken >&2; exit 3" } }`)
		DeferCleanup(removeLayers)
		child := exec.Command(os.Args[0], "-test.run=^TestFailingChild$", "-test.v")
		child.Env = append(os.Environ(), childVariable+"=kept_builder")
		out, err := child.CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(MatchRegexp(`(?s)building a layer: provisioning: provision.cmd exited with 3: broken.*domain overcast-layer-\S+ at qemu:///system is kept`))
		address := regexp.MustCompile(`address: (\S+)`).FindSubmatch(out)
		Expect(address).NotTo(BeNil(), string(out))
		Expect(run(guestAt(string(address[1])), "cat /root/proof")).To(Equal("seen\n"))
		Expect(overcast("gc", "-c", "qemu:///system")).To(ContainSubstring("removed domain overcast-layer-"))
		Expect(leftovers("layer")).To(BeEmpty())
	}, NodeTimeout(5*time.Minute))
})
