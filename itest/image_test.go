package itest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/provider"
)

// smallImage is the image of the lab's small guest, and the definition that boots
// it, in a folder of their own.
func smallImage() (image, definition string) {
	GinkgoHelper()
	dir := openDir()
	image, definition = filepath.Join(dir, "small.qcow2"), filepath.Join(dir, "small.xml")
	content, err := os.ReadFile(imageDir + "/my_base_domain.qcow2")
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(image, content, 0o644)).To(Succeed())
	Expect(os.WriteFile(definition, []byte(virsh("dumpxml", "--inactive", "my_base_domain")), 0o644)).To(Succeed())
	DeferCleanup(removeLayers)
	return image, definition
}

// layerDomains are the names of the domains of layers.
func layerDomains() []string {
	GinkgoHelper()
	var found []string
	for _, name := range strings.Fields(virsh("list", "--all", "--name")) {
		if strings.HasPrefix(name, "overcast-layer-") {
			found = append(found, name)
		}
	}
	return found
}

// removeLayers removes all layers with other means than the code under test.
func removeLayers() {
	GinkgoHelper()
	for _, name := range layerDomains() {
		_ = exec.Command("virsh", "-q", "-c", "qemu:///system", "destroy", name).Run() // a builder's that still runs
		_ = exec.Command("virsh", "-q", "-c", "qemu:///system", "undefine", "--nvram", name).Run()
	}
	for _, volume := range leftovers("layer") {
		Expect(os.RemoveAll(filepath.Join(imageDir, volume))).To(Succeed())
	}
	eventuallyRefresh("default")
}

// recordedSteps collects the steps of set-ups.
type recordedSteps struct {
	mu   sync.Mutex
	text []string
}

// record returns a context under which the steps are collected.
func (r *recordedSteps) record(ctx context.Context) context.Context {
	return fixture.WithProgress(ctx, func(p provider.Progress) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.text = append(r.text, strings.TrimSpace(p.Label+": "+p.Step+" "+p.Detail))
		GinkgoWriter.Println(p)
	})
}

func (r *recordedSteps) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.text, "\n")
}

// imported counts the imports among the steps.
func (r *recordedSteps) count(step string) int { return strings.Count(r.all(), ": "+step+" ") }

var _ = Describe("a host with an image", Serial, func() {
	It("is a clone of the image, which is imported once", func(ctx SpecContext) {
		image, definition := smallImage()
		configure(`
			first = ${guest} { libvirtBaseDomain = null, image = %q, domainXML = %q, networkDeviceId = my_nat_network, cloudInit.enabled = false, diskSize = 64 MiB }
			second = ${first}
		`, image, definition)
		const at = "qemu:///system"
		host := fmt.Sprintf(`nat_host { image = %q, domainXML = %q, networkDeviceId = my_nat_network, cloudInit.enabled = false, memory = 64 MiB }`, image, definition)
		said, code := doctor(host)
		Expect(code).To(BeZero(), said)
		Expect(said).To(MatchRegexp(`(?m)^ok +nat_host: image: \S+small\.qcow2, which the first set-up imports into pool \S+$`))
		Expect(layerDomains()).To(BeEmpty(), "doctor imports nothing")
		Expect(overcast("image", "import", "-c", at, image)).To(MatchRegexp(`(?m)^qemu:///system has image \S+/small\.qcow2 as overcast-layer-[0-9a-f]+$`))
		Expect(overcast("image", "ls", "-c", at)).To(MatchRegexp(`(?m)^[0-9a-f]{12} .*small\.qcow2 .* MiB`))
		Expect(overcast("image", "ls", "--json", "-c", at)).To(ContainSubstring(`"kind": "image"`))
		said, code = doctor(host)
		Expect(code).To(BeZero(), said)
		Expect(said).To(MatchRegexp(`(?m)^ok +nat_host: image: \S+small\.qcow2, imported as overcast-layer-[0-9a-f]+$`))
		for _, step := range []string{"base domain: generated for the image", "devices: can all be cloned", "disks: vda", "pool: ", "memory: "} {
			Expect(said).To(ContainSubstring(" nat_host: "+step), said)
		}
		var steps recordedSteps
		first := up(steps.record(ctx), "first")
		second := up(steps.record(ctx), "second")
		run(logIn(first), "true")
		run(logIn(second), "true")
		Expect(steps.count("imported image")).To(BeZero(), steps.all())
		Expect(layerDomains()).To(HaveLen(1))
		Expect(leftovers("layer")).To(HaveLen(1+1), "the layer's domain and its volume")
		Expect(capacityOfDisk(first)).To(Equal("131072"), "sectors of a disk that was grown to 64 MiB")
	}, NodeTimeout(3*time.Minute))

	It("is imported once when ten processes ask at the same time", func(ctx SpecContext) {
		image, definition := smallImage()
		text := `guest { image = "` + image + `", domainXML = "` + definition + `", networkDeviceId = my_nat_network, cloudInit.enabled = false, ipLookupStrategy = static, static.ip = "127.0.0.1" }`
		var runs []*runOfOne
		for range 10 {
			runs = append(runs, otherRun{config: text}.bringsUp("guest"))
		}
		for _, r := range runs {
			r.address()
		}
		Expect(layerDomains()).To(HaveLen(1))
		Expect(leftovers("layer")).To(HaveLen(1 + 1))
		for _, r := range runs {
			r.ends()
		}
	}, NodeTimeout(5*time.Minute))
})

// capacityOfDisk is the size of the first disk of a guest, in sectors.
func capacityOfDisk(host *fixture.CloudHost) string {
	GinkgoHelper()
	result, err := host.Run(context.Background(), "cat /sys/block/vda/size")
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(result.Stdout)
}
