// Package parallel shows a host with a static address in a run of several processes.
package parallel

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

func TestParallel(t *testing.T) {
	if os.Getenv("LAB_CONF") == "" {
		t.Skip("needs a hypervisor: run it in the lab, or change overcast.conf and remove this line")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "parallel")
}

var hosts = suite.Declare("fixed")

// Process 1 boots the host; all processes use it.
var _ = SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)

var _ = Describe("a host with a static address", func() {
	BeforeEach(hosts.Exclusive("fixed")) // one spec, in one process, at a time

	for n := range 4 {
		It(fmt.Sprintf("is used by one spec at a time, number %d", n), func() {
			Expect(fixture.Host("fixed")).To(RunCommand("mkdir /run/used && rmdir /run/used"))
		})
	}
})
