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

var _ = Describe("a host", func() {
	It("is found on a routed network and mounts the folders of fsMapping", fast, func(ctx SpecContext) {
		dir := openDir()
		Expect(os.WriteFile(filepath.Join(dir, "hello"), []byte("from outside"), 0o644)).To(Succeed())
		configure(`routed_host.fsMapping { data { hostPath = %q, readOnly = true } }`, dir)
		host := up(ctx, "routed_host")
		Expect(host.HostName()).To(HavePrefix("192.168.123."))
		client := logIn(host)
		Expect(run(client, "ip address")).To(ContainSubstring(host.HostName()))
		Expect(run(client, "grep ^data /proc/mounts")).To(HavePrefix("data /data 9p ro,"), "by the guest's fstab")
		Expect(run(client, "cat /data/hello")).To(Equal("from outside"))
		Expect(run(client, "touch /data/mine 2>&1 || echo refused")).To(HaveSuffix("refused\n"))
		Expect(filepath.Join(dir, "mine")).NotTo(BeAnExistingFile())
	})

	It("has overlays of disks of different formats, which are files with overlay = file", fast, func(ctx SpecContext) {
		configure(`two_disks_host.overlay = file`)
		host := up(ctx, "two_disks_host")
		Expect(leftovers("two_disks_host")).To(ConsistOf(HavePrefix("overcast-"), ContainSubstring("-vda.qcow2"), ContainSubstring("-vdb.qcow2")))
		before := contentOf(imageDir + "/lab-two-disks-data.img")
		client := logIn(host)
		run(client, "echo written > /dev/vdb && sync")
		Expect(run(client, "head -c 7 /dev/vdb")).To(Equal("written"))
		Expect(contentOf(imageDir + "/lab-two-disks-data.img")).To(Equal(before))
		found := clones("two_disks_host")
		Expect(found).To(HaveLen(1))
		Expect(found[0].Devices.Disks).To(HaveLen(2))
		Expect(found[0].Devices.Disks[1].BackingStore.Format.Type).To(Equal("raw"))
		Expect(fixture.TearDown(ctx, "two_disks_host")).To(Succeed())
		Expect(leftovers("two_disks_host")).To(BeEmpty())
	})
})
