package itest

import (
	"os"
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// newModule is the folder of a new module that uses this checkout, with a function that
// runs a command there, with more of the environment. The network has no way to the module
// proxy. The lab's key is the one of the home directory.
func newModule(env ...string) (dir string, in func(command ...string) string) {
	GinkgoHelper()
	dir, home := openDir(), openDir()
	checkout, err := filepath.Abs("..")
	Expect(err).NotTo(HaveOccurred())
	key, err := os.ReadFile(os.Getenv("LAB_SSH_KEY"))
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Mkdir(filepath.Join(home, ".ssh"), 0o700)).To(Succeed())
	Expect(os.WriteFile(filepath.Join(home, ".ssh", "id_ed25519"), key, 0o600)).To(Succeed())
	in = func(command ...string) string {
		GinkgoHelper()
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = dir
		cmd.Env = append(append(os.Environ(), "HOME="+home, "OVERCAST_CONF=", "OVERCAST_SET=", "GOPROXY=off", "GOSUMDB=off", "GOFLAGS="), env...)
		out, err := cmd.CombinedOutput()
		GinkgoWriter.Printf("%v\n%s", command, out)
		Expect(err).NotTo(HaveOccurred(), "%v: %s", command, out)
		return string(out)
	}
	in("go", "mod", "init", "example.com/webtest")
	in("go", "mod", "edit", "-require", "github.com/overcast-go/overcast@v0.0.0", "-replace", "github.com/overcast-go/overcast="+checkout,
		"-tool", "github.com/overcast-go/overcast/cmd/overcast")
	in("go", "mod", "tidy")
	return dir, in
}

var _ = Describe("overcast init", Serial, func() {
	for _, style := range []string{"ginkgo", "testify", "plain"} {
		It("writes a configuration and a test that pass, with --"+style, func() {
			_, in := newModule("OVERCAST_SET=web_host.provision.startTimeout=3 minutes")
			Expect(in("go", "tool", "overcast", "init", "--yes", "--"+style)).To(ContainSubstring("go tool overcast doctor web_host"))
			in("go", "mod", "tidy")
			in("go", "vet", "./...")
			in("go", "tool", "overcast", "doctor", "web_host")
			Expect(in("go", "test", "-count=1", "-v", ".")).To(MatchRegexp(`(?m)^ok\s+example.com/webtest`))
			Expect(listed("web_host")).To(BeEmpty())
		})
	}
})
