package itest

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/overcast-go/overcast/fixture"
)

var _ = Describe("a host of overcast up", Ordered, func() {
	var previous string

	BeforeAll(func(ctx SpecContext) {
		base := regexp.MustCompile(`(?s)<uuid>.*?</uuid>`).ReplaceAllString(virsh("dumpxml", "--inactive", "my_base_domain"), "")
		define(strings.NewReplacer(append([]string{"<name>my_base_domain<", "<name>standing-base<"}, withScreen...)...).Replace(base))
		configure(`standing = ${nat_host} { libvirtBaseDomain = standing-base }`)
		DeferCleanup(func() { overcast("down") })
		Expect(overcast("up", "standing", "--for", "20m")).To(And(ContainSubstring("standing: address"), HaveSuffix("standing is up: log in with overcast ssh standing, remove it with overcast down standing\n")))
		previous = os.Getenv("OVERCAST_SET")
	})

	BeforeEach(func() { GinkgoT().Setenv("OVERCAST_SET", previous) })

	It("runs commands with ssh, and passes their exit codes on", func() {
		Expect(overcast("ssh", "standing", "--", "echo", "from", "inside")).To(Equal("from inside\n"))
		var exit *exec.ExitError
		Expect(errors.As(exec.Command(overcastBinary(), "ssh", "standing", "--", "exit 7").Run(), &exit)).To(BeTrue())
		Expect(exit.ExitCode()).To(Equal(7))
	})

	It("is reached by plain ssh, which checks its host key", func() {
		config := filepath.Join(GinkgoT().TempDir(), "config")
		text := overcast("ssh-config", "standing")
		Expect(os.WriteFile(config, []byte(text), 0o600)).To(Succeed())
		ssh := func() string {
			out, err := exec.Command("ssh", "-F", config, "-o", "BatchMode=yes", "standing", "hostname").CombinedOutput()
			if err != nil {
				return "failed: " + string(out)
			}
			return string(out)
		}
		Expect(ssh()).NotTo(ContainSubstring("failed"))
		Expect(text).To(ContainSubstring("StrictHostKeyChecking yes"))
		other := strings.Replace(text, "%H ssh-", "%H no-", 1)
		Expect(os.WriteFile(config, []byte(other), 0o600)).To(Succeed())
		Expect(ssh()).To(ContainSubstring("Host key verification failed"))
	})

	It("gets and gives files with cp", func() {
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "a"), []byte("text"), 0o600)).To(Succeed())
		overcast("cp", filepath.Join(dir, "a"), "standing:/tmp/a")
		overcast("cp", "standing:/tmp/a", filepath.Join(dir, "b"))
		Expect(os.ReadFile(filepath.Join(dir, "b"))).To(BeEquivalentTo("text"))
	})

	It("is listed with its address and idle time", func() {
		Expect(overcast("ls")).To(MatchRegexp(`standing +192\.168\.\S+ +running +\S+ +\d+[sm] `))
	})

	It("serves one process at a time that attaches, and stays up", func(ctx SpecContext) {
		GinkgoT().Setenv("OVERCAST_ATTACH", "1")
		host, err := fixture.SetUp(ctx, "standing")
		Expect(err).NotTo(HaveOccurred())
		run := func() string {
			result, err := host.Run(ctx, "cat /tmp/a; hostname")
			Expect(err).NotTo(HaveOccurred())
			return result.Stdout
		}
		Expect(run()).To(HavePrefix("text"))
		Expect(listed("standing")).To(HaveLen(1), "no other clone")
		Expect(fixture.TearDown(ctx, "standing")).To(Succeed())
		Expect(listed("standing")).To(HaveLen(1))
		Expect(overcast("ssh", "standing", "--", "cat /tmp/a")).To(Equal("text"))
	})

	It("shows its console with what was printed before, and live", func() {
		// virsh needs a terminal. Ctrl-] ends it, once it has set the terminal up.
		console := exec.Command("sh", "-c", `while sleep 0.5; do printf '\035'; done | timeout 60 script -qefc "$1 console standing" /dev/null`, "sh", overcastBinary())
		out, err := console.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		Expect(string(out)).To(MatchRegexp(`(?s)Pubkey auth succeeded for 'root'.*\nConnected to domain 'overcast-standing-`))
	})

	It("has its screen saved to a file", func() {
		file := filepath.Join(GinkgoT().TempDir(), "screen.png")
		overcast("screenshot", "standing", "-o", file)
		text, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		_, err = png.Decode(bytes.NewReader(text))
		Expect(err).NotTo(HaveOccurred())
	})

	It("stays when gc removes what a host of that label has left", func() {
		Expect(overcast("gc", "standing")).To(BeEmpty(), "its process lives")
		Expect(listed("standing")).To(HaveLen(1))
	})

	It("is gone after down", func() {
		Expect(overcast("down", "standing")).To(ContainSubstring("removed standing"))
		Expect(listed("standing")).To(BeEmpty())
		out, err := exec.Command(overcastBinary(), "ssh", "standing").CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(string(out)).To(ContainSubstring("no running host: overcast up standing starts one"))
	})
})
