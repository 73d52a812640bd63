// Package suite gives a Ginkgo suite the hosts that it declares: it sets them up
// before the specs and tears them down after them.
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
// In a parallel run (ginkgo -p) every process has its own clone of each host. A
// process sets up its hosts at the same time, and tears them down when its last
// spec has ended. The teardown is registered with DeferCleanup before anything is
// created, so a set-up that fails half-way and an interrupted suite leave nothing
// behind.
//
// # Hosts that are booted when a spec needs them
//
// SetUp boots every declared host, also if --focus or a label filter runs a single
// spec. To boot a host only for the specs that use it, say which container needs it:
//
//	var _ = BeforeSuite(hosts.SetUpOnNeed) // boots nothing; registers the teardown
//
//	var _ = Describe("reports", func() {
//		BeforeEach(hosts.Need("db_host")) // or BeforeAll in an Ordered container
//	})
//
// The first spec of each process that needs a host boots it; the host then stays up
// until the end of the suite. If the set-up fails, the spec that needed the host fails.
//
// # Shared hosts and static addresses
//
// A host with a static address exists once: two clones with one address would
// disturb each other. A host with scope = "suite" exists once because its
// configuration says so. All processes of a run share such a host. SetUp fails
// for it if the run has several processes; use
//
//	var _ = SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)
//
// In process 1, SetUpShared starts the set-up of the shared hosts and returns
// before they are up. In every process, Join sets up the process's own hosts and
// waits for the shared ones, so that all of them boot at the same time. If a
// shared host cannot be set up, Join fails in every process with the cause; if
// process 1 ends first, Join fails at once. Process 1 tears the shared hosts down
// when all other processes have ended.
//
// Specs of several processes that use a host with a static address at the same
// time would disturb each other, for example when one of them restarts it. Such
// a spec has to acquire exclusive use of the host:
//
//	var _ = Describe("failover", func() {
//		BeforeEach(hosts.Exclusive("static_host"))
//
//		It("...", func(ctx SpecContext) { ... })
//	})
//
// One spec in one process holds the host at a time; the others are queued in the
// order of their arrival. The host is released when the spec ends, however it
// ends, and when its process ends or is killed. In a run of several processes, a
// spec that uses the host without Exclusive fails with a [NotExclusiveError].
// Specs that wait for each other fail with a [DeadlockError]. Progress reports
// name the holder of a host that a spec waits for.
//
// A host with scope = "suite" and no static address is for all processes at the
// same time. There, Exclusive keeps out only the other specs that use it.
//
// Two runs share a static address, too: the set-up of the second one waits, for
// up to static.wait, until the first has torn its clone down. On one machine a
// lock with a queue ensures that, which the kernel releases when its holder ends;
// across machines libvirt does, as both clones have the same UUID.
//
// # Limited memory
//
// Clones that do not fit into the free memory of the hypervisor are queued until
// other clones, also of other runs, are gone, for up to memoryWait. Process 1
// ends last and keeps its hosts until then. If the hypervisor has memory for the
// clones of one process only, run ginkgo without -p, or tear the hosts of process
// 1 down after its last spec:
//
//	var _ = AfterSuite(hosts.TearDown)
//
// # What happens to clones when a run ends
//
// When a run ends by itself, by a failure, by a panic in a spec, by --timeout or by one
// SIGINT, the registered teardown runs and nothing is left. When the process ends
// without it (SIGKILL, os.Exit, a panic in a goroutine, -timeout of go test), libvirtd
// destroys the clones of the process within about a second, a guard process removes what
// libvirtd leaves, and the kernel releases its locks and closes its port forwards. The base
// domain is never changed.
//
// docs/lifecycle.md has a table of all ways in which a run can end, with what may be
// left and what removes it.
//
// # Progress and diagnostics
//
// Set-up prints a line for each step of a host:
//
//	overcast: nat_host: cloned overcast-nat_host-... after 0.2s
//	overcast: nat_host: started after 0.7s
//	overcast: nat_host: address 192.168.122.33 after 8.1s
//	overcast: nat_host: reachable 192.168.122.33 after 8.4s
//
// In a run of several processes each line ends with the number of its process. At the end
// a line lists the hosts and how long their set-up took:
//
//	overcast: hosts set up: nat_host in 8.4s
//
// The lines appear at once on a terminal, with a colour unless --no-color or NO_COLOR
// is set, and in a pipe, as in CI. In two cases Ginkgo prints them at the end of the
// node: if the output of several processes goes to a file, and with -v without a
// terminal. GinkgoWriter gets them as well, for the report of a failure.
//
// Ginkgo's progress reports show the state of each host, what it waits for, and
// the last line of its console. Ask for one with --poll-progress-after, with
// Ctrl-T where the system has SIGINFO (macOS, BSD), or with SIGUSR1 to the test
// processes (overcast progress, or pkill -USR1 -f PACKAGE.test; the ginkgo command ignores it).
//
// A set-up that is silent for 15 s prints its last step and the last line of the
// console.
//
// Each failure from the set-up on adds a report entry for every host of the process,
// also for one whose set-up has failed, made before anything is torn down: state, address,
// how to log in, whether the host is kept, the last lines of its serial console,
// and the path of a screenshot in the folder artifacts or the one that
// OVERCAST_ARTIFACTS names. Collecting them takes 15 seconds at most. The entries
// are also in the JSON report, as objects with the fields label, state, address, login, console and screenshot, and in the JUnit report.
// Only process 1 has the console of a shared host.
//
// OVERCAST_KEEP=on-failure keeps the hosts of a process in which something has
// failed, and the shared hosts.
package suite
