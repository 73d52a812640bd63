package suite_test

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/suite"
)

// A suite declares its hosts. In a test file, the statements with a comment stand
// at the top level, with the left side that the comment shows.
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

// All processes share a host with a static address: process 1 boots it while
// every process boots its own hosts, and one spec uses it at a time.
func ExampleFixtures_Exclusive() {
	hosts := suite.Declare("nat_host", "static_host") // var hosts = ...

	_ = func() bool { // var _ = ...
		return SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)
	}
	_ = func() bool { // var _ = ...
		return Describe("failover", func() {
			BeforeEach(hosts.Exclusive("static_host"))

			It("survives a reboot", func(ctx SpecContext) {
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
