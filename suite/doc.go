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
//
// # Nothing skips teardown
//
// What becomes of the hosts, however the run ends. "torn down" is the clean-up
// that set-up registers: when the run has ended, nothing is left. "with the
// process" is for ends that run no clean-up: the kernel ends what the process
// has locked and forwarded, and libvirtd ends its clones within a moment, with
// everything that belongs to them but a file that an overlay was to be
// (overlay = "file"), and what a clone that was just being made had a name for.
// That goes with the start of the next run, or with overcast gc. The base is
// untouched throughout.
//
//	all specs pass                                    torn down
//	a spec fails                                      torn down
//	a spec panics                                     torn down
//	BeforeSuite fails half-way through its hosts      torn down
//	BeforeSuite panics half-way through its hosts     torn down
//	AfterSuite panics                                 torn down
//	a goroutine panics                                with the process
//	os.Exit in a spec                                 with the process
//	SIGINT, once, during boot, of a shared host, too  torn down
//	SIGINT, once, during specs                        torn down, however short the grace period
//	SIGINT, twice or three times, during boot         with the process
//	SIGINT, twice or three times, during specs        with the process; torn down where Ginkgo has begun to
//	SIGHUP to all, as when a terminal is closed       with the process
//	SIGTERM to the runner only                        nothing: it waits for its processes, then torn down
//	SIGKILL to a process                              with the process; the others' are torn down
//	the same, while a spec has a host for itself      as before, and another spec gets the host
//	SIGKILL to process 1                              with the process; the others' are torn down
//	SIGKILL to the runner of several processes        torn down: they notice it, and end
//	the same, during boot                             torn down: they notice it, and end
//	SIGKILL to the runner of one process              nothing: it goes on to its end, then torn down
//	--timeout                                         torn down
//	--fail-fast                                       torn down
//	go test's -timeout                                with the process
//	t.FailNow in testify's SetupSuite                 torn down
//	libvirtd is restarted during specs                torn down, over a new connection
//	the same, and then the process is killed          clones run until the next start, or overcast gc
//
// The clones of keep = "on-failure" and "always" are not libvirtd's to end: where
// the table says "with the process", they run until the next start, or overcast
// gc.
//
// # What a person sees
//
// While hosts are set up, a line for each step that one reaches, as in
//
//	overcast: nat_host: cloned overcast-nat_host-... after 0.2s
//	overcast: nat_host: started after 0.7s
//	overcast: nat_host: address 192.168.122.33 after 8.1s
//	overcast: nat_host: reachable 192.168.122.33 after 8.4s
//
// at once on the terminal, where the run has one; otherwise, as in CI, on
// standard output, which Ginkgo shows at the end of the node when there are
// several processes. GinkgoWriter gets the lines, too, for the reports.
//
// Ginkgo's progress reports show each host's state, for whom it waits, and the
// last line of its console: with --poll-progress-after, at Ctrl-T where there is
// SIGINFO (macOS, BSD), and at SIGUSR1, which goes to the test processes (pkill
// -USR1 PACKAGE.test), as the ginkgo command does nothing with it.
//
// A failure of anything after the set-up of the suite's first host adds a report
// entry for every host of the process: its state and address, how to log in,
// whether it is kept, the last lines of its serial console, and the path of a
// screenshot in the folder artifacts, or the one that OVERCAST_ARTIFACTS names.
// It is made before anything is torn down, takes 15 seconds at the most, and is
// also in the JSON report, as a [fixture.Evidence], and in the JUnit report. Of
// a host that all share, only process 1 has heard the console.
//
// OVERCAST_KEEP=on-failure leaves the hosts of a process in which something has
// failed where they are, and those that all processes share.
package suite
