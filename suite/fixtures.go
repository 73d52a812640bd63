package suite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/fixture"
)

// Fixtures are the hosts of a suite. Its methods are bodies of Ginkgo nodes.
type Fixtures struct {
	labels []string
}

// Declare names the hosts that a suite uses, by their labels in the
// configuration. It only takes note of them, and of specs that fail: hosts with
// keep = "on-failure" are then kept. Call it where Ginkgo takes nodes: at the
// top level of a file.
func Declare(labels ...string) *Fixtures {
	f := &Fixtures{labels: labels}
	ginkgo.ReportAfterEach(f.noteFailure)
	return f
}

func (f *Fixtures) noteFailure(report ginkgo.SpecReport) {
	if report.Failed() {
		for _, label := range f.labels {
			fixture.NoteFailure(label)
		}
	}
}

// teardownLimit bounds taking all hosts of a process away, side by side.
const teardownLimit = 2 * time.Minute

// SetUp, the body of a BeforeSuite, sets up every host in this process, side
// by side. Before that it registers their TearDown with DeferCleanup. It fails
// the suite with the causes of all hosts that could not be set up.
func (f *Fixtures) SetUp(ctx ginkgo.SpecContext) {
	ginkgo.GinkgoHelper()
	ginkgo.DeferCleanup(f.TearDown)
	fail(f.refuseShared())
	fail(each(f.labels, func(label string) error { return setUp(ctx, label) }))
}

// SetUpShared, the first body of a SynchronizedBeforeSuite, sets up in process
// 1 the hosts that all processes share, and answers with what Join in each of
// them needs to know.
func (f *Fixtures) SetUpShared(ctx ginkgo.SpecContext) []byte {
	ginkgo.GinkgoHelper()
	ginkgo.DeferCleanup(f.TearDown)
	shared, _, err := f.sorted()
	fail(err)
	fail(each(shared, func(label string) error { return setUp(ctx, label) }))
	told, err := fixture.Share(shared...)
	fail(err)
	return told
}

// Join, the second body of a SynchronizedBeforeSuite, makes the shared hosts
// known in this process and sets up its own.
func (f *Fixtures) Join(ctx ginkgo.SpecContext, told []byte) {
	ginkgo.GinkgoHelper()
	ginkgo.DeferCleanup(f.TearDown)
	_, own, err := f.sorted()
	fail(err)
	fail(fixture.Adopt(ctx, told))
	fail(each(own, func(label string) error { return setUp(ctx, label) }))
}

func setUp(ctx context.Context, label string) error {
	_, err := fixture.SetUp(ctx, label)
	return err
}

// fail ends the node if there is an error.
func fail(err error) {
	ginkgo.GinkgoHelper()
	if err != nil {
		ginkgo.Fail(err.Error())
	}
}

// TearDown takes every host of this process away. SetUp has registered it; a
// suite that calls it sooner does no harm. It works under a context of its
// own, as an interrupt would leave that of the node only its grace period.
func (f *Fixtures) TearDown(ctx ginkgo.SpecContext) {
	ginkgo.GinkgoHelper()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownLimit)
	defer cancel()
	fail(each(f.labels, func(label string) error { return fixture.TearDown(bounded, label) }))
}

// each does something with several hosts at once and waits for all of them.
func each(labels []string, do func(label string) error) error {
	errs := make([]error, len(labels))
	var all sync.WaitGroup
	for n, label := range labels {
		all.Go(func() { errs[n] = do(label) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// sorted parts the hosts that all processes share from those that each has.
func (f *Fixtures) sorted() (shared, own []string, err error) {
	for _, label := range f.labels {
		is, err := fixture.Shared(label)
		if err != nil {
			return nil, nil, err
		}
		if is {
			shared = append(shared, label)
		} else {
			own = append(own, label)
		}
	}
	return shared, own, nil
}

// refuseShared refuses hosts that must not be set up once per process.
func (f *Fixtures) refuseShared() error {
	config, _ := ginkgo.GinkgoConfiguration()
	if config.ParallelTotal < 2 {
		return nil
	}
	shared, _, err := f.sorted()
	if err == nil && len(shared) > 0 {
		err = fmt.Errorf("%s would be set up by each of %d processes, but has a static address or scope = \"suite\", and can exist only once: "+
			"write SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join) in place of BeforeSuite(hosts.SetUp), or run with one process",
			strings.Join(shared, ", "), config.ParallelTotal)
	}
	return err
}
