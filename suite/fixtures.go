package suite

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/internal/recovered"
)

// Fixtures are the hosts of a suite. Its methods are bodies of Ginkgo nodes.
type Fixtures struct {
	labels []string
	hosts  func() (*hostSet, error) // reads the configuration, once
	shared atomic.Pointer[sharedBoot]
	joined atomic.Pointer[bootstrapMessage] // nil before Join
	uses   exclusiveUses
	runner runner

	declaredAt string // FILE:LINE of Declare
	needed     needed

	reverted []string // labels that some spec reverts by Pristine

	failureSent sync.Once // process 1 knows that something has failed here
}

// Declare names the hosts that a suite uses, by their labels in the
// configuration. Call it at the top level of a file, where Ginkgo builds its
// tree of nodes. It creates nothing; it also registers the hosts for Ginkgo's
// progress reports, and records failed specs for hosts with keep = "on-failure".
func Declare(labels ...string) *Fixtures {
	f := &Fixtures{labels: labels, declaredAt: callerOf(1), runner: runner{pid: os.Getppid()}}
	f.hosts = sync.OnceValues(func() (*hostSet, error) { return readHostSet(labels) })
	host.Default.Declare(labels...)
	if len(labels) > 0 {
		ginkgo.ReportAfterEach(f.recordFailedSpec)
		ginkgo.AttachProgressReporter(f.progress)
	}
	return f
}

// teardownLimit bounds the teardown of all hosts of a process, which are torn
// down at the same time.
const teardownLimit = 2 * time.Minute

// SetUp, the body of a BeforeSuite, sets up every declared host in this process,
// all at the same time. It registers their teardown with DeferCleanup before it
// creates anything. It fails the suite with the errors of all hosts that could
// not be set up, and for a shared host in a run of several processes: use
// [Fixtures.SetUpShared] and [Fixtures.Join] then.
func (f *Fixtures) SetUp(ctx ginkgo.SpecContext) {
	started := f.start(ctx)
	f.reportHostsOnFailure()
	set, err := f.hosts()
	f.fail(err)
	f.fail(set.refuseShared())
	f.fail(<-set.setUp(started, f.labels, nil))
}

// SetUpShared, the first body of a SynchronizedBeforeSuite, starts the set-up of
// the shared hosts in process 1. It returns before they are up, so that every
// process can boot its own hosts meanwhile: the shared hosts can be used once
// Join has returned. The result is the argument of Join: JSON without secrets.
func (f *Fixtures) SetUpShared(ctx ginkgo.SpecContext) []byte {
	started := f.start(ctx)
	set, err := f.hosts()
	f.fail(err)
	message, err := f.bootShared(started, set)
	f.fail(err)
	return message
}

// Join, the second body of a SynchronizedBeforeSuite, sets up the hosts that
// each process has for itself, and waits until the shared hosts are up, so that
// this process can use them. It fails the suite with all errors, also those of
// process 1.
func (f *Fixtures) Join(ctx ginkgo.SpecContext, message []byte) {
	started := f.start(ctx)
	f.reportHostsOnFailure()
	set, err := f.hosts()
	f.fail(err)
	settingUp := set.setUp(started, set.own, nil)
	joinErr := f.joinShared(started, set, message)
	f.fail(errors.Join(joinErr, <-settingUp))
}

// TearDown tears down the hosts of this process. Set-up registers the teardown,
// so calling TearDown is optional: it releases the hosts earlier. In a run of
// several processes it leaves the shared hosts to the registered teardown, as
// other processes may still use them. An interrupt shortens the context of a
// node to Ginkgo's grace period; the teardown has a time limit of its own, 2
// minutes.
func (f *Fixtures) TearDown(ctx ginkgo.SpecContext) {
	labels := f.labels
	if b := f.shared.Load(); b != nil && processes() > 1 {
		labels = b.without(labels)
	}
	f.fail(tearDown(ctx, labels))
}

// start registers the clean-up and returns the context for set-up. A suite
// without hosts gets no clean-up, as one in process 1 would wait for all other
// processes.
func (f *Fixtures) start(ctx ginkgo.SpecContext) context.Context {
	if len(f.labels) == 0 {
		return ctx
	}
	f.needed.ready = true
	watched := f.watchRunner(ctx)
	f.fail(f.runner.check())
	ginkgo.DeferCleanup(f.finish, ginkgo.NodeTimeout(teardownLimit))
	return host.WithProgress(watched, stepPrinter())
}

// finish is the clean-up of set-up. In process 1 it runs when every other
// process has ended.
func (f *Fixtures) finish(ctx ginkgo.SpecContext) {
	f.printSummary()
	if processes() < 2 || f.shared.Load() != nil {
		f.removeQueues()
	}
	f.fail(f.cleanUp(ctx))
}

// cleanUp ends the set-up of shared hosts and tears down the hosts of this
// process.
func (f *Fixtures) cleanUp(ctx context.Context) error {
	if b := f.shared.Load(); b != nil {
		b.cancel(errSuiteEnded) // TearDown waits until the set-up has returned
		defer b.close()
	}
	return tearDown(ctx, f.labels)
}

func tearDown(ctx context.Context, labels []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownLimit)
	defer cancel()
	return recovered.ForEach(labels, func(label string) error { return host.Default.TearDown(ctx, label) })
}
