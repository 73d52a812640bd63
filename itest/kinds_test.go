package itest

import (
	"context"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

// up sets a host up for the length of a spec.
func up(ctx context.Context, label string) *fixture.CloudHost {
	GinkgoHelper()
	DeferCleanup(func(ctx SpecContext) { Expect(fixture.TearDown(ctx, label)).To(Succeed()) })
	host, err := fixture.SetUp(ctx, label)
	Expect(err).NotTo(HaveOccurred())
	return host
}

var _ = Describe("hosts of every kind", func() {
	It("is found on a routed network", func(ctx SpecContext) {
		host := up(ctx, "routed_host")
		Expect(host.HostName()).To(HavePrefix("192.168.123."))
		Expect(run(logIn(host), "ip address")).To(ContainSubstring(host.HostName()))
	})

	// One address, one clone: Serial keeps the other processes from having one, too.
	It("has the static address that its system gives itself", Serial, func(ctx SpecContext) {
		host := up(ctx, "static_host")
		Expect(host.HostName()).To(Equal(os.Getenv("LAB_STATIC_IP")))
		run(logIn(host), "touch /root/proof")
	})

	It("sees the folders that fsMapping names", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "hello"), []byte("from outside"), 0o644)).To(Succeed())
		for folder := dir; folder != filepath.Clean(os.TempDir()); folder = filepath.Dir(folder) {
			Expect(os.Chmod(folder, 0o755)).To(Succeed()) // for the user that QEMU runs as
		}
		configure(`mapped_host = ${guest} { fsMapping { data { hostPath = %q, readOnly = true } } }`, dir)
		client := logIn(up(ctx, "mapped_host"))
		run(client, "mount -t 9p -o trans=virtio,ro data /data")
		Expect(run(client, "cat /data/hello")).To(Equal("from outside"))
		Expect(run(client, "touch /data/mine 2>&1 || echo refused")).To(HaveSuffix("refused\n"))
		Expect(filepath.Join(dir, "mine")).NotTo(BeAnExistingFile())
	})

	It("gets overlays of disks of different formats", func(ctx SpecContext) {
		host := up(ctx, "two_disks_host")
		before := contentOf(imageDir + "/lab-two-disks-data.img")
		client := logIn(host)
		run(client, "echo written > /dev/vdb && sync")
		Expect(run(client, "head -c 7 /dev/vdb")).To(Equal("written"))
		Expect(contentOf(imageDir + "/lab-two-disks-data.img")).To(Equal(before))
		for _, clone := range clones("two_disks_host") {
			Expect(clone.Devices.Disks).To(HaveLen(2))
			Expect(clone.Devices.Disks[1].BackingStore.Format.Type).To(Equal("raw"))
		}
	})
})
