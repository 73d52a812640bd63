package suite_test

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/suite"
)

// A suite declares its hosts beside its specs. The lines marked so stand at the
// top level of a file of its own.
func Example() {
	hosts := suite.Declare("nat_host") // var hosts = ...

	_ = func() bool { // var _ = ...
		return BeforeSuite(hosts.SetUp)
	}
	_ = func() bool { // var _ = ...
		return Describe("a host", func() {
			It("has an address", func() {
				fmt.Fprintln(GinkgoWriter, fixture.Host("nat_host").HostName())
			})
		})
	}
	fmt.Println(fixture.Host("nat_host"))
	// Output: nat_host (not set up)
}

// Of a host with a static address there is one: process 1 boots it while every
// process boots its own hosts, and specs take turns with it.
func ExampleFixtures_Exclusive() {
	hosts := suite.Declare("nat_host", "static_host") // var hosts = ...

	_ = func() bool { // var _ = ...
		return SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)
	}
	_ = func() bool { // var _ = ...
		return Describe("failover", func() {
			BeforeEach(hosts.Exclusive("static_host"))

			It("comes back", func(ctx SpecContext) {
				_, err := fixture.Host("static_host").Run(ctx, "reboot")
				if err != nil {
					Fail(err.Error())
				}
			})
		})
	}
	fmt.Println(fixture.Host("static_host"))
	// Output: static_host (not set up)
}
