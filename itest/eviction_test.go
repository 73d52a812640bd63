package itest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// importedLayer imports a small raw image, and returns the name of its layer.
func importedLayer(content byte) string {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "small.raw")
	Expect(os.WriteFile(file, bytes.Repeat([]byte{content}, 1<<20), 0o644)).To(Succeed())
	return regexp.MustCompile(`overcast-layer-[0-9a-f]+`).FindString(overcast("image", "import", "-c", "qemu:///system", file))
}

var usedAt = regexp.MustCompile(`(<(?:\w+:)?used>)[^<]*`)

// unused makes a layer one that was last used some days ago.
func unused(layer string, days int) {
	GinkgoHelper()
	at := time.Now().Add(-time.Duration(days) * 24 * time.Hour).UTC().Format(time.RFC3339)
	text := usedAt.ReplaceAllString(virsh("dumpxml", "--inactive", layer), "${1}"+at)
	Expect(text).To(ContainSubstring(at))
	file := filepath.Join(GinkgoT().TempDir(), layer+".xml")
	Expect(os.WriteFile(file, []byte(text), 0o644)).To(Succeed())
	virsh("define", file)
}

var _ = Describe("the cache of a hypervisor", Serial, func() {
	// evicts sets a host of an image up in another process, and tears it down.
	evicts := func(keys string) (output string) {
		GinkgoHelper()
		image, definition := smallImage()
		r := otherRun{config: fmt.Sprintf(`guest { image = %q, domainXML = %q, networkDeviceId = my_nat_network, cloudInit.enabled = false, ipLookupStrategy = static, static.ip = "127.0.0.1", %s }`,
			image, definition, keys)}.bringsUp("guest")
		r.address()
		r.ends()
		return string(r.Out.Contents())
	}

	It("evicts what was not used for cacheMaxAge, and never what is in use", func() {
		DeferCleanup(removeLayers)
		used, old, recent := importedLayer(1), importedLayer(2), importedLayer(3)
		for layer, days := range map[string]int{used: 30, old: 15, recent: 13} {
			unused(layer, days)
		}
		define(strings.NewReplacer("<name>"+used, "<name>user-of-layer").Replace(regexp.MustCompile(`(?s)<uuid>.*?</uuid>|<metadata>.*</metadata>`).ReplaceAllString(virsh("dumpxml", "--inactive", used), "")))
		output := evicts("")
		Expect(output).To(MatchRegexp(`guest: evicted layer: [0-9a-f]{12} \(.*small.raw\), unused for 15 d`))
		Expect(strings.Count(output, "evicted layer")).To(Equal(1))
		Expect(layerDomains()).To(And(HaveLen(3), ContainElements(used, recent)))
		Expect(leftovers(strings.TrimPrefix(old, "overcast-"))).To(BeEmpty())
		Expect(overcast("cache", "prune", "-c", "qemu:///system")).To(BeEmpty(), "it removes the same")
	})

	It("evicts the least recently used layers above cacheMaxSize", func() {
		DeferCleanup(removeLayers)
		first, second, third := importedLayer(1), importedLayer(2), importedLayer(3)
		for layer, days := range map[string]int{second: 3, first: 2, third: 1} {
			unused(layer, days)
		}
		size := func(keep float64) string { return fmt.Sprintf("cacheMaxSize = %d", int(keep*(1<<20))) }
		info, err := os.Stat(imageDir + "/my_base_domain.qcow2")
		Expect(err).NotTo(HaveOccurred())
		image := float64(info.Size()) / (1 << 20)
		evicts(size(image + 2.5))
		Expect(layerDomains()).To(And(HaveLen(3), ContainElements(first, third)))
		evicts(size(0.5))
		Expect(layerDomains()).To(HaveLen(1), "the image that the set-up uses")
	})

	It("loses layers by overcast cache prune, by their key, which shells complete, or by their age", func() {
		DeferCleanup(removeLayers)
		one, other := importedLayer(1), importedLayer(2)
		key := func(layer string) string { return strings.TrimPrefix(layer, "overcast-layer-")[:12] }
		Expect(overcast("__completeNoDesc", "cache", "prune", "-c", "qemu:///system", key(other), "")).To(HavePrefix(key(one) + "\n:"))
		Expect(overcast("cache", "prune", "-c", "qemu:///system", key(one))).To(ContainSubstring("removed " + one))
		Expect(layerDomains()).To(Equal([]string{other}))

		unused(other, 3)
		Expect(overcast("cache", "prune", "--older-than", "96h", "-c", "qemu:///system")).NotTo(ContainSubstring("overcast-layer"))
		Expect(overcast("cache", "prune", "--older-than", "48h", "-c", "qemu:///system")).To(ContainSubstring("removed " + other))
		Expect(layerDomains()).To(BeEmpty())
	})

	It("shows what Overcast for Java has cached, and keeps it", func() {
		define(`<domain type='qemu'><name>centos-cached</name><metadata><overcast_metadata xmlns="http://www.xebialabs.com/overcast/metadata/v1"><parent_domain>centos6</parent_domain><provisioned_with>/tmp/provision.sh</provisioned_with><provisioned_checksum>8c3d</provisioned_checksum><creation_time>2014-10-31T15:07:38Z</creation_time></overcast_metadata></metadata>
			<memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>`)
		const at = "qemu:///system"
		Expect(overcast("cache", "ls", "-c", at)).To(MatchRegexp(`(?m)^centos-cached +java +Overcast for Java +centos6 `))
		Expect(overcast("cache", "ls", "--json", "-c", at)).To(ContainSubstring(`"kind": "java"`))
		Expect(overcast("image", "ls", "-c", at)).NotTo(ContainSubstring("centos"))
		Expect(overcast("ls", "-c", at)).To(ContainSubstring("centos-cached, clone of centos6"))
		for _, command := range [][]string{{"cache", "prune", "--all"}, {"gc"}} {
			Expect(overcast(append(command, "-c", at)...)).NotTo(ContainSubstring("centos"))
		}
		Expect(virsh("list", "--all", "--name")).To(ContainSubstring("centos-cached"))
	})
})
