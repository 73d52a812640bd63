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
// # Hosts that processes share
//
// A host that has a static address, or scope = "suite", exists once for all
// processes. SetUp refuses it when there are several; process 1 sets it up, and
// the others join:
//
//	var _ = SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)
//
// SetUpShared does not wait for the hosts: they boot while every process boots
// its own, and Join waits for both. Why a shared host cannot be set up, every
// process tells; if process 1 ends before it is up, the others do not wait. It
// is taken away when the last process has ended.
//
// Of a host with a static address, specs of several processes are in each
// other's way: one that restarts it fails the others. So each spec that uses it
// has to have it for itself, which is one spec, in one process, at a time, in
// order of arrival:
//
//	var _ = Describe("failover", func() {
//		BeforeEach(hosts.Exclusive("static_host"))
//
//		It("...", func(ctx SpecContext) { ... })
//	})
//
// A spec that does without is failed, with what to write, when there are
// several processes. The host is free again when the spec has ended, however it
// ends, and when its process has. Progress reports (Ctrl-T where the terminal
// has it, SIGUSR1, --poll-progress-after) tell whom a spec waits for. Hosts with
// scope = "suite" and no static address are for all at once; Exclusive works with
// them, too, among the specs that have it.
//
// # Hosts that do not fit
//
// Clones that do not fit into the hypervisor's free memory wait until others
// are gone, those of other runs among them, for as long as memoryWait says.
// Process 1 ends last, and so does what it has: a hypervisor that has room for
// the clones of one process only needs ginkgo without -p, or
//
//	var _ = AfterSuite(hosts.TearDown)
//
// with which process 1 takes its own hosts away when it has run its last spec.
package suite
