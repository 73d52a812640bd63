package suite

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/recovered"
)

// Fixtures are the hosts of a suite. Its methods are bodies of Ginkgo nodes.
type Fixtures struct {
	labels  []string
	plan    func() (*plan, error) // what the configuration says of them; read once
	boot    atomic.Pointer[boot]  // of the shared ones, in process 1
	turns   turns
	runner  int             // ID of the process that has started this one
	life    context.Context // ends when that has; nil before anything is set up
	abandon func()          // is called then; nil as long as life is

	invited atomic.Pointer[invitation] // to the shared ones, nil before Join
	failed  sync.Once                  // process 1 has been told that something has
}

// Declare names the hosts that a suite uses, by their labels in the
// configuration. It only takes note of them, and of specs that fail: hosts with
// keep = "on-failure" are then kept. Call it where Ginkgo takes nodes: at the
// top level of a file.
func Declare(labels ...string) *Fixtures {
	f := &Fixtures{labels: labels, runner: os.Getppid()}
	f.plan = sync.OnceValues(f.readPlan)
	if len(labels) > 0 {
		ginkgo.ReportAfterEach(f.noteFailedSpec)
		ginkgo.AttachProgressReporter(f.progress)
	}
	return f
}

// teardownLimit bounds taking all hosts of a process away, side by side.
const teardownLimit = 2 * time.Minute

// SetUp, the body of a BeforeSuite, sets up every host in this process, side
// by side. Before that it registers their TearDown with DeferCleanup. It fails
// the suite with the causes of all hosts that could not be set up.
func (f *Fixtures) SetUp(ctx ginkgo.SpecContext) {
	ginkgo.GinkgoHelper()
	begun := f.begin(ctx)
	f.showOnFailure()
	p, err := f.plan()
	fail(err)
	fail(p.refuseShared())
	fail(p.setUp(begun, f.labels))
}

// SetUpShared, the first body of a SynchronizedBeforeSuite, begins to set up in
// process 1 the hosts that all processes share, and answers with what Join in
// each of them needs to know: JSON, and no secret in it. It does not wait for
// the hosts, so that those of every process can boot meanwhile: only once Join
// has returned, they can be used.
func (f *Fixtures) SetUpShared(ctx ginkgo.SpecContext) []byte {
	ginkgo.GinkgoHelper()
	begun := f.begin(ctx)
	p, err := f.plan()
	fail(err)
	told, err := f.bootShared(begun, p)
	fail(err)
	return told
}

// Join, the second body of a SynchronizedBeforeSuite, sets up the process's own
// hosts, while it waits for those that all share and makes them known in this
// process. It fails the suite with all causes, those from process 1 among them.
func (f *Fixtures) Join(ctx ginkgo.SpecContext, told []byte) {
	ginkgo.GinkgoHelper()
	begun := f.begin(ctx)
	f.showOnFailure()
	p, err := f.plan()
	fail(err)
	var joined error
	var shared sync.WaitGroup
	shared.Go(func() { joined = f.joinShared(begun, p, told) })
	err = p.setUp(begun, p.own)
	shared.Wait()
	fail(errors.Join(joined, err))
}

// fail ends the node if there is an error.
func fail(err error) {
	ginkgo.GinkgoHelper()
	if err != nil {
		ginkgo.Fail(err.Error())
	}
}

// TearDown takes every host of this process away. There is no need to call it:
// setting up has registered a clean-up. A suite that does gets rid of its hosts
// sooner; those that other processes may still use stay for the clean-up. It
// works under a context of its own, as an interrupt would leave that of the
// node only its grace period.
func (f *Fixtures) TearDown(ctx ginkgo.SpecContext) {
	ginkgo.GinkgoHelper()
	labels := f.labels
	if b := f.boot.Load(); b != nil && processes() > 1 {
		labels = b.others(labels)
	}
	fail(tearDown(ctx, labels))
}

// begin registers the clean-up, and answers with the context of the set-up. A
// suite without hosts has no clean-up: process 1 would wait with it for all the
// others.
func (f *Fixtures) begin(ctx ginkgo.SpecContext) context.Context {
	ginkgo.GinkgoHelper()
	if len(f.labels) == 0 {
		return ctx
	}
	begun := f.watchRunner(ctx)
	fail(f.runnerIsThere())
	ginkgo.DeferCleanup(f.finish, ginkgo.NodeTimeout(teardownLimit))
	return fixture.WithSteps(begun, tellSteps())
}

// finish is what setting up registers. In process 1, it runs when every other
// process has ended.
func (f *Fixtures) finish(ctx ginkgo.SpecContext) {
	ginkgo.GinkgoHelper()
	if processes() < 2 || f.boot.Load() != nil {
		f.removeLines()
	}
	fail(f.takeAway(ctx))
}

// takeAway ends everything of this process.
func (f *Fixtures) takeAway(ctx context.Context) error {
	if b := f.boot.Load(); b != nil {
		b.end(errSuiteOver) // the hosts are torn down once it no longer has to do with them
		defer b.close()
	}
	return tearDown(ctx, f.labels)
}

func tearDown(ctx context.Context, labels []string) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownLimit)
	defer cancel()
	return recovered.ForEach(labels, func(label string) error { return fixture.TearDown(bounded, label) })
}
