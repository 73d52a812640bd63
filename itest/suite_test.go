// Package itest is the suite that runs against real guests, in the lab:
//
//	make itest
package itest

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/overcast-go/overcast/suite"
)

func TestItest(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "overcast against real guests")
}

// fast labels the specs of make itest-fast: clones, addresses, mappings and
// teardown. They show in a few minutes whether a release of libvirt and QEMU
// works; CI runs them in a root of the other release of Debian.
var fast = Label("fast")

var hosts = suite.Declare("nat_host")

// Process 1 takes stock before any process makes anything. Its clean-up is
// registered before the hosts' own and so runs after it, when every other
// process has ended.
var _ = SynchronizedBeforeSuite(func() {
	before := takeInventory()
	stop := superviseLibvirtd()
	DeferCleanup(func() {
		stop()
		if libvirtdCrashes() > 0 {
			overcast("gc", "-c", "qemu:///system") // libvirtd has forgotten which clones to destroy
		}
		after := takeInventory()
		for name, definition := range before.Bases {
			Expect(after.Bases[name]).To(Equal(definition), "base domain %s after the run, and before; now it is\n%s", name, after.Bases[name])
		}
		Expect(after).To(Equal(before), "what the hypervisor has after the run, and what it had before")
	})
}, hosts.SetUp)
