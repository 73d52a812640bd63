// Package demo is the first test of the project's README.
package demo

import (
	"fmt"
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/overcast-go/overcast/suite"
)

func TestDemo(t *testing.T) {
	if os.Getenv("LAB_CONF") == "" {
		t.Skip("needs a hypervisor: run it in the lab, or change overcast.conf and remove this line")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "demo")
}

var hosts = suite.Declare("web_host")

var _ = BeforeSuite(hosts.SetUp) // registers the teardown

var _ = Describe("the web server", func() {
	It("listens", func(ctx SpecContext) {
		Expect(fixture.Host("web_host")).To(HaveListeningPort(80))
		fmt.Fprintln(GinkgoWriter, fixture.Host("web_host").HostName())
	})
})
