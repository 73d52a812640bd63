// Package turns is a small suite of two processes with real guests, that a spec
// of package itest runs: each process has one, and they take turns with another.
package turns

import (
	"fmt"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/overcast-go/overcast/suite"
)

func TestTurns(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "turns")
}

var hosts = suite.Declare("turns_own", "turns_static")

var _ = SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)

var _ = Describe("the static host", func() {
	BeforeEach(hosts.Exclusive("turns_static"))

	for n := range 6 {
		It(fmt.Sprintf("is one spec's, number %d", n), func(ctx SpecContext) {
			host := fixture.Host("turns_static")
			Expect(host).To(RunCommand("mkdir /run/turn"), "nobody else is there")
			DeferCleanup(func(ctx SpecContext) { Expect(host).To(RunCommand("rmdir /run/turn")) })
			Expect(host).To(RunCommand(fmt.Sprintf("echo %d > /run/turn/spec", GinkgoParallelProcess())))
			Expect(fixture.Host("turns_own")).To(BeReachableOnSSH())
			Expect(host).To(RunCommand("cat /run/turn/spec; rm /run/turn/spec").WithStdout(fmt.Sprintln(GinkgoParallelProcess())))
		})
	}
})

var _ = Describe("a spec without a turn", func() {
	It("is told what to write", func() {
		Expect(fixture.Host("turns_static").HostName()).To(BeEmpty())
	})
})
