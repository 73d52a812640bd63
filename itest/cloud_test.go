package itest

import (
	"os"
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
		addressTimeout = 20 minutes, provision.startTimeout = 20 minutes
	}
`

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
})
