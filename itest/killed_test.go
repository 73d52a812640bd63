package itest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

// childVariable names the host that TestChild sets up, or several, with commas.
const childVariable = "ITEST_CHILD"

// TestChild is a plain test that specs run in a process of its own.
func TestChild(t *testing.T) {
	label := os.Getenv(childVariable)
	if label == "" {
		t.Skip("a helper process of specs, which set " + childVariable)
	}
	fmt.Println("up at", fixture.UpAll(t, strings.Split(label, ",")...)[0].HostName())
	bufio.NewReader(os.Stdin).ReadString('\n') // until the parent writes a line or ends
}

// TestFailingChild fails when its host is up.
func TestFailingChild(t *testing.T) {
	label := os.Getenv(childVariable)
	if label == "" {
		t.Skip("a helper process of specs, which set " + childVariable)
	}
	t.Error("failing at", fixture.Up(t, label).HostName())
}

// child starts a test process of its own and waits until its host is up.
func child(label string) *exec.Cmd {
	GinkgoHelper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childVariable+"="+label)
	cmd.Stderr = GinkgoWriter
	_, err := cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	out, err := cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		GinkgoWriter.Println(lines.Text())
		if strings.HasPrefix(lines.Text(), "up at ") {
			return cmd
		}
	}
	Fail("the child ended before its host was up")
	return nil
}

// restartLibvirtd kills libvirtd, as a crash would, and starts it again. The
// new one ends with the lab.
func restartLibvirtd() {
	GinkgoHelper()
	killLibvirtd()
	startLibvirtd()
}

func killLibvirtd() {
	GinkgoHelper()
	Expect(os.WriteFile(killedOnPurpose, nil, 0o600)).To(Succeed())
	Expect(exec.Command("pkill", "-KILL", "-u", "root", "-x", "libvirtd").Run()).To(Succeed())
	Eventually(func() error { return exec.Command("pgrep", "-u", "root", "-x", "libvirtd").Run() }).WithTimeout(30 * time.Second).Should(HaveOccurred())
}

// startLibvirtd starts libvirtd unless it runs, and waits until it answers.
func startLibvirtd() {
	GinkgoHelper()
	if exec.Command("pgrep", "-u", "root", "-x", "libvirtd").Run() != nil {
		Expect(exec.Command("libvirtd", "--daemon").Run()).To(Succeed())
	}
	Expect(os.RemoveAll(killedOnPurpose)).To(Succeed())
	Eventually(func() error { return exec.Command("virsh", "-q", "-c", "qemu:///system", "uri").Run() }).WithTimeout(30 * time.Second).Should(Succeed())
}

func wait(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

var _ = Describe("a killed process", func() {
	It("leaves no domain and no volume", fast, func() {
		configure(`killed = ${booting}`)
		process := child("killed")
		Expect(leftovers("killed")).To(HaveLen(1), "a domain, and a volume that has no name any more")
		Expect(process.Process.Kill()).To(Succeed())
		Eventually(leftovers).WithArguments("killed").WithTimeout(30 * time.Second).Should(BeEmpty())
	})

	It("leaves nothing after the teardown when libvirtd is killed and restarted", Serial, fast, func(ctx SpecContext) {
		configure(`survivor = ${booting}`)
		up(ctx, "survivor")
		restartLibvirtd()
		Expect(virsh("list", "--name")).To(ContainSubstring("overcast-survivor-"), "the guest goes on without libvirtd")
		Expect(fixture.TearDown(ctx, "survivor")).To(Succeed())
		Expect(leftovers("survivor")).To(BeEmpty())
		configure(`survivor = ${guest} { libvirtBaseDomain = nowhere }`)
		_, err := fixture.SetUp(ctx, "survivor")
		Expect(err).To(MatchError(fixture.ErrBaseDomainMissing), "what the new libvirtd answers")
	})
})
