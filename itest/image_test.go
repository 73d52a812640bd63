package itest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	at string // step at whose first report do is called
	do func()

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
		if p.Step == r.at && r.do != nil {
			r.do()
			r.do = nil
		}
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

	It("is imported again if the volume of the image was deleted", func(ctx SpecContext) {
		image, definition := smallImage()
		configure(`image_lost = ${guest} { libvirtBaseDomain = null, image = %q, domainXML = %q, networkDeviceId = my_nat_network, cloudInit.enabled = false }`, image, definition)
		up(ctx, "image_lost")
		Expect(fixture.TearDown(ctx, "image_lost")).To(Succeed())
		for _, name := range leftovers("layer") {
			if name != only(layerDomains()) {
				virsh("vol-delete", name, "default")
			}
		}
		Expect(leftovers("layer")).To(ConsistOf(layerDomains()))
		var steps recordedSteps
		up(steps.record(ctx), "image_lost")
		Expect(steps.all()).To(MatchRegexp(`discarded layer: the image is imported again: layer overcast-layer-\S+: looking up volume`))
		Expect(leftovers("layer")).To(HaveLen(1+1), "the layer's domain and its volume")
	}, NodeTimeout(3*time.Minute))

	It("fails if the file of the image changes while it is imported", func(ctx SpecContext) {
		image, definition := smallImage()
		configure(`image_changes = ${guest} { libvirtBaseDomain = null, image = %q, domainXML = %q, networkDeviceId = my_nat_network, cloudInit.enabled = false }`, image, definition)
		steps := recordedSteps{at: "importing image", do: func() {
			file, err := os.OpenFile(image, os.O_WRONLY|os.O_APPEND, 0)
			Expect(err).NotTo(HaveOccurred())
			_, err = file.Write(make([]byte, 1<<20))
			Expect(err).NotTo(HaveOccurred())
			Expect(file.Close()).To(Succeed())
		}}
		_, err := fixture.SetUp(steps.record(ctx), "image_changes")
		Expect(err).To(MatchError(ContainSubstring(image + " changed while it was imported")))
		Expect(leftovers("layer")).To(BeEmpty())
	}, NodeTimeout(3*time.Minute))

	It("can be provisioned once, and pruned together with its image", func(ctx SpecContext) {
		image, definition := smallImage()
		configure(`image_once = ${guest} { libvirtBaseDomain = null, image = %q, domainXML = %q, networkDeviceId = my_nat_network, cloudInit.enabled = false
			diskSize = 1 MiB // has no effect: the image is larger
			provision { cache = true, cmd = "echo provisioned > /root/proof" } }`, image, definition)
		Expect(run(logIn(up(ctx, "image_once")), "cat /root/proof")).To(Equal("provisioned\n"))
		Expect(fixture.TearDown(ctx, "image_once")).To(Succeed())
		Expect(leftovers("layer")).To(HaveLen(2+2), "two domains and their volumes")
		Expect(strings.Count(overcast("cache", "prune", "--all", "-c", "qemu:///system"), "removed overcast-layer-")).To(Equal(2))
		Expect(leftovers("layer")).To(BeEmpty())
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

	It("is a clone of an image from a URL, whose download continues after a cut", func(ctx SpecContext) {
		image, definition := smallImage()
		GinkgoT().Setenv("XDG_CACHE_HOME", GinkgoT().TempDir())
		server := serveCut(image)
		configure(`
			wrong = ${guest} { libvirtBaseDomain = null, image { url = %[1]q, sha256 = %[4]q }, domainXML = %[3]q, networkDeviceId = my_nat_network, cloudInit.enabled = false }
			from_url = ${wrong} { image.sha256 = "%[2]x" }
		`, server.URL+"/small.qcow2", sha256.Sum256(server.content), definition, strings.Repeat("0", 64))
		_, err := fixture.SetUp(ctx, "wrong")
		Expect(err).To(MatchError(And(ContainSubstring("/small.qcow2"), ContainSubstring(strings.Repeat("0", 64)))))
		Expect(layerDomains()).To(BeEmpty())

		server.cutNext.Store(true)
		server.ranges.Store(0)
		var steps recordedSteps
		Expect(run(logIn(up(steps.record(ctx), "from_url")), "cat /sys/block/vda/size")).NotTo(BeEmpty())
		Expect(steps.count("imported image")).To(Equal(1), steps.all())
		Expect(server.ranges.Load()).To(BeEquivalentTo(1), "requests for the rest of the file")
	}, NodeTimeout(3*time.Minute))

	It("is a clone of a volume of the hypervisor, which is not copied", func(ctx SpecContext) {
		image, definition := smallImage()
		volume := filepath.Join(imageDir, "small-volume.qcow2")
		content, err := os.ReadFile(image)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(volume, content, 0o644)).To(Succeed())
		DeferCleanup(func() {
			Expect(os.Remove(volume)).To(Succeed())
			eventuallyRefresh("default")
		})
		eventuallyRefresh("default")
		before := contentOf(volume)
		configure(`from_volume = ${guest} { libvirtBaseDomain = null, image = "default/small-volume.qcow2", domainXML = %q, networkDeviceId = my_nat_network, cloudInit.enabled = false }`, definition)
		Expect(run(logIn(up(ctx, "from_volume")), "echo changed > /root/changed; sync; cat /root/changed")).To(Equal("changed\n"))
		Expect(layerDomains()).To(BeEmpty())
		Expect(contentOf(volume)).To(Equal(before))
	}, NodeTimeout(3*time.Minute))

	It("is imported once by two machines that import it at the same time", func(SpecContext) {
		image, definition := smallImage()
		text := `guest { image = "` + image + `", domainXML = "` + definition + `", networkDeviceId = my_nat_network, cloudInit.enabled = false, ipLookupStrategy = static, static.ip = "127.0.0.1" }`
		runs := []*runOfOne{otherRun{config: text}.bringsUp("guest"), otherRun{config: text, via: anotherMachine}.bringsUp("guest")}
		for _, r := range runs {
			r.address()
		}
		Expect(leftovers("layer")).To(HaveLen(1+1), "the layer's domain and its volume")
		for _, r := range runs {
			r.ends()
		}
	}, NodeTimeout(5*time.Minute))
})

// cutServer serves a file, and cuts the next answer in its middle if that is asked for.
type cutServer struct {
	*httptest.Server
	content []byte
	cutNext atomic.Bool
	ranges  atomic.Int32 // requests for a part of the file
}

// serveCut serves a file for the length of a spec.
func serveCut(file string) *cutServer {
	GinkgoHelper()
	content, err := os.ReadFile(file)
	Expect(err).NotTo(HaveOccurred())
	s := &cutServer{content: content}
	s.Server = httptest.NewServer(s)
	DeferCleanup(s.Close)
	return s
}

func (s *cutServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Range") != "" {
		s.ranges.Add(1)
	}
	w.Header().Set("ETag", `"one"`)
	if s.cutNext.CompareAndSwap(true, false) {
		w.Header().Set("Content-Length", strconv.Itoa(len(s.content)))
		_, _ = w.Write(s.content[:len(s.content)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
}

// capacityOfDisk is the size of the first disk of a guest, in sectors.
func capacityOfDisk(host *fixture.CloudHost) string {
	GinkgoHelper()
	result, err := host.Run(context.Background(), "cat /sys/block/vda/size")
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(result.Stdout)
}
