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

const exclusiveConfig = `
exclusive_own {
	libvirtURL = "qemu:///system", libvirtBaseDomain = my_base_domain, networkDeviceId = my_nat_network
	connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY}
	provision.startTimeout = 3 minutes // emulated guests on a busy machine
}
exclusive_static = ${exclusive_own} { libvirtBaseDomain = lab-static, ipLookupStrategy = static, static.ip = ${LAB_STATIC_IP} }
`

// failingSuite runs the suite testdata/NAME in two processes with a configuration. It
// returns its output when the suite has failed.
func failingSuite(name, config string, flags ...string) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	Expect(os.WriteFile(filepath.Join(dir, "overcast.conf"), []byte(config), 0o644)).To(Succeed())
	out, err := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, name+".test"), "./testdata/"+name).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	args := append([]string{"-procs=2", "--no-color", "--timeout=8m"}, flags...)
	cmd := exec.Command(ginkgoBinary(), append(args, name+".test")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "OVERCAST_SET=")
	session, err := gexec.Start(cmd, GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { session.Kill().Wait(30 * time.Second) })
	Eventually(session).WithTimeout(9 * time.Minute).Should(gexec.Exit(1))
	return string(session.Out.Contents())
}
