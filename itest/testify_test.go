package itest

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	testifysuite "github.com/overcast-go/overcast/suite/testify"
)

// destructive is a testify suite whose tests each change the host.
type destructive struct{ testifysuite.Suite }

func (s *destructive) SetupTest() { s.Pristine(os.Getenv(childVariable)) }

// change expects a host that no other test has changed, and changes it.
func (s *destructive) change() {
	result, err := s.Host(os.Getenv(childVariable)).Run(s.T().Context(), "mkdir /root/changed && sync")
	s.Require().NoError(err)
	s.Zero(result.ExitCode, result.Stderr)
}

func (s *destructive) TestOne()   { s.change() }
func (s *destructive) TestTwo()   { s.change() }
func (s *destructive) TestThree() { s.change() }

func (s *destructive) TestPowerOff() {
	s.change()
	_, err := s.Host(os.Getenv(childVariable)).Run(s.T().Context(), "poweroff -f")
	s.Error(err)
}

// TestTestifyChild is a suite of testify that a spec runs in a process of its own.
func TestTestifyChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("a helper process of specs, which set " + childVariable)
	}
	testifysuite.Run(t, new(destructive), os.Getenv(childVariable))
}

var _ = Describe("a suite of testify", func() {
	It("starts each test from the same state with Pristine", func() {
		run := otherRun{config: `testify_host { libvirtURL = "qemu:///system", libvirtBaseDomain = my_base_domain, networkDeviceId = my_nat_network
			provision.startTimeout = 3 minutes, connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY} }`}.
			runs("TestTestifyChild", childVariable+"=testify_host")
		Eventually(run).WithTimeout(5 * time.Minute).Should(gexec.Exit(0))
		for _, test := range []string{"One", "Two", "Three", "PowerOff"} {
			Expect(string(run.Out.Contents())).To(ContainSubstring("--- PASS: TestTestifyChild/Test" + test))
		}
		Expect(leftovers("testify_host")).To(BeEmpty())
	})
})
