// Package exclusive is a small suite with real guests that a spec of package
// itest runs in two processes: each process has a host of its own, and both share
// one with a static address.
package exclusive

import (
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/overcast-go/overcast/suite"
)

func TestExclusive(t *testing.T) {
	if os.Getenv("LAB_CONF") == "" {
		t.Skip("a suite that package itest runs in the lab")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "exclusive")
}

var hosts = suite.Declare("exclusive_own", "exclusive_static")

var _ = SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)

// limit is long enough for emulated guests on a busy machine.
const limit = 30 * time.Second

var _ = Describe("a static host", func() {
	BeforeEach(hosts.Exclusive("exclusive_static"))

	for n := range 6 {
		It(fmt.Sprintf("is used by one spec at a time, number %d", n), func(ctx SpecContext) {
			host := fixture.Host("exclusive_static")
			Expect(host).To(RunCommand("mkdir /run/exclusive").Within(limit), "no other spec uses the host")
			DeferCleanup(func(ctx SpecContext) { Expect(host).To(RunCommand("rmdir /run/exclusive").Within(limit)) })
			Expect(host).To(RunCommand(fmt.Sprintf("echo %d > /run/exclusive/spec", GinkgoParallelProcess())).Within(limit))
			Expect(fixture.Host("exclusive_own")).To(BeReachableOnSSH().Within(limit))
			Expect(host).To(RunCommand("cat /run/exclusive/spec; rm /run/exclusive/spec").WithStdout(fmt.Sprintln(GinkgoParallelProcess())).Within(limit))
		})
	}
})

var _ = Describe("a spec without exclusive use", func() {
	It("fails", func() {
		Expect(fixture.Host("exclusive_static").HostName()).To(BeEmpty())
	})
})

var _ = Describe("a static host that is restored before each spec", func() {
	BeforeEach(hosts.Exclusive("exclusive_static"))
	BeforeEach(hosts.Pristine("exclusive_static"))

	for n := range 4 {
		It(fmt.Sprintf("has none of what the others changed, number %d", n), func(ctx SpecContext) {
			Expect(fixture.Host("exclusive_static")).To(RunCommand("mkdir /root/used && sync").Within(limit))
		})
	}
})

var _ = Describe("a spec that restores the host without exclusive use", func() {
	BeforeEach(hosts.Pristine("exclusive_static"))

	It("fails", func() {})
})
