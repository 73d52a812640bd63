// Package suite gives a Ginkgo suite the hosts that it declares.
//
//	var hosts = suite.Declare("nat_host", "routed_host")
//
//	var _ = BeforeSuite(hosts.SetUp)
//
//	var _ = Describe("nginx", func() {
//		It("answers", func(ctx SpecContext) {
//			fmt.Fprintln(GinkgoWriter, fixture.Host("nat_host").HostName())
//		})
//	})
//
// Every process of a parallel run sets up hosts of its own, side by side, and
// takes them away once its last spec has run. The clean-up is registered
// before anything is made, so that a set-up that fails half-way, and a suite
// that is interrupted, leave nothing.
//
// A host that has a static address, or scope = "suite", exists once for all
// processes. SetUp refuses it when there are several; process 1 sets it up, and
// the others join:
//
//	var _ = SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)
package suite
