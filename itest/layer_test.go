package itest

import (
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

var _ = Describe("a host with provision.cache", Serial, func() {
	It("is provisioned once, and later hosts are clones of the layer", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		copied := filepath.Join(GinkgoT().TempDir(), "copied")
		Expect(os.WriteFile(copied, []byte("one"), 0o600)).To(Succeed())
		configure(`
			first = ${guest} { provision { cache = true, copy = [%q, /root/copied], cmd = "date >> /root/provisioned; echo >> /root/provisioned" } }
			second = ${first}
		`, copied)
		base := contentOf(imageDir + "/my_base_domain.qcow2")
		var steps recordedSteps
		first := up(steps.record(ctx), "first")
		Expect(steps.all()).To(ContainSubstring("first: building layer: booted, provisioned, shut down, published"))
		Expect(steps.count("using cached layer")).To(Equal(1), steps.all())
		seen := run(logIn(first), "cat /root/provisioned /root/copied")
		Expect(seen).To(HaveSuffix("one"))
		Expect(fixture.TearDown(ctx, "first")).To(Succeed())
		Expect(leftovers("layer")).To(HaveLen(1+1), "the layer's domain and its volume")

		second := up(steps.record(ctx), "second")
		Expect(steps.all()).To(MatchRegexp(`second: using cached layer [0-9a-f]{12} \(\d+ (s|min) old\)`))
		Expect(steps.count("building layer:")).To(Equal(4), steps.all())
		Expect(run(logIn(second), "cat /root/provisioned /root/copied")).To(Equal(seen), "it was not provisioned again")
		Expect(overcast("cache", "ls", "-c", "qemu:///system")).To(MatchRegexp(`(?m)^[0-9a-f]{12}  first  my_base_domain  .*overcast-second-`))
		Expect(contentOf(imageDir + "/my_base_domain.qcow2")).To(Equal(base))
	}, NodeTimeout(5*time.Minute))

	It("is made without a layer that does not boot, which is discarded", func(ctx SpecContext) {
		DeferCleanup(removeLayers)
		configure(`broken = ${guest} { provision { cache = true, cmd = "echo provisioned > /root/proof" } }`)
		up(ctx, "broken")
		Expect(fixture.TearDown(ctx, "broken")).To(Succeed())
		for _, volume := range leftovers("layer") {
			if filepath.Ext(volume) == ".qcow2" {
				Expect(os.WriteFile(filepath.Join(imageDir, volume), []byte("broken"), 0o600)).To(Succeed())
			}
		}
		var steps recordedSteps
		host := up(steps.record(ctx), "broken")
		Expect(steps.count("discarded layer:")).To(Equal(1), steps.all())
		Expect(run(logIn(host), "cat /root/proof")).To(Equal("provisioned\n"))
		Expect(layerDomains()).To(BeEmpty())
	}, NodeTimeout(5*time.Minute))
})
