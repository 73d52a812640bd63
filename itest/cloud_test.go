package itest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
)

// requireCloudImage returns the path of the lab's cloud image, and removes what the
// hypervisor has imported after the spec. It skips the spec where there is none.
func requireCloudImage() string {
	GinkgoHelper()
	path := os.Getenv("LAB_CLOUD_IMAGE")
	if path == "" {
		Skip("there is no cloud image: run the lab with LAB_CLOUD=1, as make itest-cloud does")
	}
	DeferCleanup(removeLayers)
	return path
}

// cloudConfig has hosts of an image. An emulated guest takes minutes for cloud-init.
const cloudConfig = `
	cloud {
		image = %q, memory = 512 MiB, network = my_nat_network
		addressTimeout = 20 minutes, provision { startTimeout = 20 minutes, timeout = 20 minutes }
	}
`

// bootstrap is what "ginkgo bootstrap" writes.
const bootstrap = `package webtest

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestWebtest(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Webtest Suite")
}
`

// readmeBlocks are the code blocks of README.md in a language.
func readmeBlocks(language string) (found []string) {
	GinkgoHelper()
	text, err := os.ReadFile("../README.md")
	Expect(err).NotTo(HaveOccurred())
	for n, block := range strings.Split(string(text), "```") {
		if text, ok := strings.CutPrefix(block, language+"\n"); ok && n%2 == 1 {
			found = append(found, text)
		}
	}
	return found
}

var _ = Describe("a host of a cloud image", Serial, func() {
	It("is configured by cloud-init, and each clone has its own identity", func(ctx SpecContext) {
		configure(cloudConfig+`
			cloud_efi = ${cloud} { firmware = efi, diskSize = 2 GiB, cloudInit { user = admin, userData = ${data} } }
			cloud_bios = ${cloud} { firmware = bios, cloudInit { userData = ${data} } }
			data = "#cloud-config\nlocale: false\nwrite_files:\n- path: /etc/from-user-data\n  content: here\n"
		`, requireCloudImage())
		allUp(ctx, "cloud_efi", "cloud_bios")
		efi, bios := fixture.Host("cloud_efi"), fixture.Host("cloud_bios")
		Expect(efi.HostName()).NotTo(Equal(bios.HostName()))
		identities := map[string]bool{}
		for host, name := range map[*fixture.CloudHost][2]string{efi: {"admin", "cloud-efi"}, bios: {"overcast", "cloud-bios"}} {
			Expect(says(ctx, host, "id -un; hostname")).To(Equal(strings.Join(name[:], "\n") + "\n"))
			Expect(says(ctx, host, "sudo -n id -u")).To(Equal("0\n"))
			Expect(host).To(HaveFile("/etc/from-user-data").WithContent("here").Within(time.Minute))
			for _, file := range []string{"/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"} {
				identities[says(ctx, host, "sudo -n cat "+file)] = true
			}
		}
		Expect(identities).To(HaveLen(4), "machine IDs and host keys")
		Expect(says(ctx, efi, "test -d /sys/firmware/efi && cat /sys/block/vda/size")).To(Equal("4194304\n"), "sectors of a disk that was grown to 2 GiB")
		Expect(says(ctx, bios, "test -d /sys/firmware/efi || echo BIOS")).To(Equal("BIOS\n"))
		Expect(leftovers("cloud_efi")).To(HaveLen(1), "its domain: overlay and seed have no name any more")
	}, NodeTimeout(30*time.Minute))

	It("fails with cloud-init's own error", func(ctx SpecContext) {
		configure(cloudConfig+`
			cloud_broken = ${cloud} { cloudInit.userData = "#cloud-config\nlocale: xx_XX.UTF-8\n" }
		`, requireCloudImage())
		_, err := fixture.SetUp(ctx, "cloud_broken")
		Expect(err).To(MatchError(MatchRegexp(`(?s)setting up cloud_broken: waiting for cloud-init: cloud-init failed: .*locale.*last lines of /var/log/cloud-init-output\.log:\n`)))
		Expect(leftovers("cloud_broken")).To(BeEmpty())
	}, NodeTimeout(30*time.Minute))

	It("is set up by the configuration and the test of the README, as printed", func(SpecContext) {
		image := requireCloudImage()
		network("default", 135, 50, "", noPing) // every installation of libvirt has it
		config, code := only(readmeBlocks("hocon")), readmeBlocks("go")
		Expect(code).To(HaveLen(2), "the specs, and the imports")
		dir, in := newModule()
		Expect(os.WriteFile(filepath.Join(dir, "overcast.conf"), []byte(config), 0o644)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "web_test.go"), []byte("package webtest\n\n"+code[1]+code[0]), 0o644)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "webtest_suite_test.go"), []byte(bootstrap), 0o644)).To(Succeed())
		printed := regexp.MustCompile(`image = "([^"]+)"`).FindStringSubmatch(config)[1]
		Expect(os.MkdirAll(filepath.Join(dir, filepath.Dir(printed)), 0o755)).To(Succeed())
		Expect(os.Symlink(image, filepath.Join(dir, printed))).To(Succeed())
		in("go", "mod", "tidy")
		Expect(in("go", "test", "-count=1", "-v", ".")).To(MatchRegexp(`(?m)^ok\s+example.com/webtest`))
		Expect(listed("web_host")).To(BeEmpty())
	}, NodeTimeout(20*time.Minute))
})
