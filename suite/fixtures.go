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
// configuration. It only takes note of them.
func Declare(labels ...string) *Fixtures {
	return &Fixtures{labels: labels}
}

// teardownLimit bounds taking all hosts of a process away, side by side.
const teardownLimit = 2 * time.Minute

// SetUp, the body of a BeforeSuite, sets up every host in this process, side
// by side. Before that it registers their TearDown with DeferCleanup. It fails
// the suite with the causes of all hosts that could not be set up.
func (f *Fixtures) SetUp(ctx ginkgo.SpecContext) {
	ginkgo.GinkgoHelper()
	ginkgo.DeferCleanup(f.TearDown)
	if err := f.refuseShared(); err != nil {
		ginkgo.Fail(err.Error())
	}
	err := f.each(func(label string) error {
		_, err := fixture.SetUp(ctx, label)
		return err
	})
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
	if err := f.each(func(label string) error { return fixture.TearDown(bounded, label) }); err != nil {
		ginkgo.Fail(err.Error())
	}
}

// each does something with all hosts at once and waits for all of them.
func (f *Fixtures) each(do func(label string) error) error {
	errs := make([]error, len(f.labels))
	var all sync.WaitGroup
	for n, label := range f.labels {
		all.Go(func() { errs[n] = do(label) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// refuseShared refuses hosts that must not be set up once per process.
func (f *Fixtures) refuseShared() error {
	config, _ := ginkgo.GinkgoConfiguration()
	if config.ParallelTotal < 2 {
		return nil
	}
	var shared []string
	for _, label := range f.labels {
		is, err := fixture.Shared(label)
		if err != nil {
			return err
		}
		if is {
			shared = append(shared, label)
		}
	}
	if len(shared) > 0 {
		return fmt.Errorf("%s would be set up by each of %d processes, but has a static address or scope = \"suite\", and can exist only once: "+
			"write SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join) in place of BeforeSuite(hosts.SetUp), or run with one process",
			strings.Join(shared, ", "), config.ParallelTotal)
	}
	return nil
}
