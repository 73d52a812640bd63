// Package ginkgo shows hosts that are booted when the first spec needs them.
package ginkgo

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/overcast-go/overcast/suite"
)

func TestGinkgo(t *testing.T) {
	if os.Getenv("LAB_CONF") == "" {
		t.Skip("needs a hypervisor: run it in the lab, or change overcast.conf and remove this line")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "box")
}

var hosts = suite.Declare("box")

var _ = BeforeSuite(hosts.SetUpOnNeed) // boots nothing; registers the teardown

var _ = Describe("a box", func() {
	BeforeEach(hosts.Need("box")) // the first spec of a process boots it

	It("accepts logins", func() { Expect(fixture.Host("box")).To(BeReachableOnSSH()) })

	It("runs Linux", func() {
		Expect(fixture.Host("box")).To(RunCommand("uname -s").WithStdout("Linux\n"))
	})
})
