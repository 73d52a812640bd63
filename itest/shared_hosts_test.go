package itest

import (
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	. "github.com/overcast-go/overcast/matchers"
)

// sharedVariable passes TestJoiningChild the hosts of another
// process.
const sharedVariable = "ITEST_SHARED"

// prepare prepares an instance by the configuration of this process.
func prepare(label string) (host.Prepared, error) {
	config, err := fixture.Load()
	if err != nil {
		return host.Prepared{}, err
	}
	section, err := config.Section(label)
	if err != nil {
		return host.Prepared{}, err
	}
	return host.Prepare(label, section)
}

// joined returns the host of another process for which a spec has started this
// process. It skips a test that no spec has started.
func joined(t *testing.T) *fixture.CloudHost {
	t.Helper()
	shared := os.Getenv(sharedVariable)
	if shared == "" {
		t.Skip("a helper process of specs, which set " + sharedVariable)
	}
	if err := host.Default.Adopt(t.Context(), []byte(shared), prepare); err != nil {
		t.Fatal(err)
	}
	return fixture.Host(os.Getenv(childVariable))
}

// TestJoiningChild watches a host of another process until it has stopped.
func TestJoiningChild(t *testing.T) {
	shared := joined(t)
	fmt.Println("joined:", host.Default.Status(shared.Label(), 1))
	g := NewWithT(t)
	g.Eventually(shared.Exited).WithTimeout(time.Minute).Should(HaveOccurred())
	fmt.Println("ended:", shared.Exited())
	// It would go on for an hour.
	message := ""
	NewGomega(func(text string, _ ...int) { message = text }).Eventually(shared).WithTimeout(time.Hour).Should(BeReachableOnSSH())
	fmt.Println(message)
	if err := fixture.TearDown(t.Context(), shared.Label()); err != nil {
		t.Fatal(err)
	}
}

var _ = Describe("a host of another process", func() {
	It("is reported as running and as ended", func(ctx SpecContext) {
		configure(`shared_host = ${guest}`)
		up(ctx, "shared_host")
		told, err := host.Default.Share("shared_host")
		Expect(err).NotTo(HaveOccurred())
		Expect(string(told)).NotTo(ContainSubstring(os.Getenv("LAB_SSH_KEY")))
		child := otherRun{config: `shared_host { libvirtURL = "qemu:///system", libvirtBaseDomain = my_base_domain, connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY} }`}.
			runs("TestJoiningChild", childVariable+"=shared_host", sharedVariable+"="+string(told))
		Eventually(child).WithTimeout(time.Minute).Should(gbytes.Say(`joined: shared_host: up, running at 192\.168\.122\.`))
		virsh("destroy", clones("shared_host")[0].Name)
		Eventually(child).WithTimeout(time.Minute).Should(gexec.Exit(0))
		said := string(child.Out.Contents())
		Expect(said).To(MatchRegexp(`ended: .*overcast-shared_host-.*a libvirt client destroyed it`))
		Expect(said).To(MatchRegexp(`(?s)No future change is possible.*a libvirt client destroyed it`))
	})

	It("is reported as ended if it ended before the process joined", func(ctx SpecContext) {
		configure(`gone_host = ${booting}`)
		up(ctx, "gone_host")
		told, err := host.Default.Share("gone_host")
		Expect(err).NotTo(HaveOccurred())
		virsh("destroy", clones("gone_host")[0].Name)
		child := otherRun{config: `gone_host { libvirtURL = "qemu:///system", libvirtBaseDomain = my_base_domain, static.ip = "127.0.0.1", connection.url = "ssh://root@{0}" }`}.
			runs("TestJoiningChild", childVariable+"=gone_host", sharedVariable+"="+string(told))
		Eventually(child).WithTimeout(time.Minute).Should(gexec.Exit(0))
		Expect(string(child.Out.Contents())).To(MatchRegexp(`ended: .*overcast-gone_host-.*shut off`))
	})
})
