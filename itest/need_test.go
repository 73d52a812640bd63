package itest

import (
	"os"
	"os/exec"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

const needConfig = `
need_used {
	libvirtURL = "qemu:///system", libvirtBaseDomain = my_base_domain, networkDeviceId = my_nat_network
	connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY}
	provision.startTimeout = 3 minutes // emulated guests on a busy machine
}
need_unused = ${need_used}
need_broken = ${need_used} { libvirtBaseDomain = no_such_domain }
`

var _ = Describe("a suite whose specs need hosts", Serial, func() {
	It("does not boot a host that no focused spec needs, and fails the spec whose host does not boot", func() {
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "overcast.conf"), []byte(needConfig), 0o644)).To(Succeed())
		for _, args := range [][]string{
			{"build", "-o", filepath.Join(dir, "ginkgo"), "github.com/onsi/ginkgo/v2/ginkgo"},
			{"test", "-c", "-o", filepath.Join(dir, "need.test"), "./testdata/need"},
		} {
			out, err := exec.Command("go", args...).CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
		}
		cmd := exec.Command(filepath.Join(dir, "ginkgo"), "-procs=2", "-v", "--no-color", "--timeout=4m", "--focus", "the (used|broken) host", "need.test")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "OVERCAST_SET=")
		session, err := gexec.Start(cmd, GinkgoWriter, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { session.Kill().Wait(30 * time.Second) })
		Eventually(session).WithTimeout(5 * time.Minute).Should(gexec.Exit(1))
		output := string(session.Out.Contents())
		Expect(output).To(ContainSubstring("3 Passed | 1 Failed"))
		Expect(output).To(MatchRegexp(`\[FAIL\] the broken host \[BeforeEach\] fails this spec`))
		Expect(output).To(ContainSubstring("no_such_domain"))
		Expect(output).To(ContainSubstring("need_used: cloned"))
		Expect(output).NotTo(ContainSubstring("need_unused: "))
		Expect(leftovers("need_used")).To(BeEmpty())
	})
})
