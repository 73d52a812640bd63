package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/internal/host"
)

// needed is what Need has to know about earlier calls.
type needed struct {
	ready  bool // a body of the suite has registered the teardown
	mu     sync.Mutex
	failed map[string]error // by label
}

// SetUpOnNeed, the body of a BeforeSuite, boots nothing: it registers the teardown of
// the hosts that [Fixtures.Need] then sets up. It fails the suite if the configuration
// of a declared host is invalid, and for a shared host in a run of several processes.
func (f *Fixtures) SetUpOnNeed(ctx ginkgo.SpecContext) {
	f.start(ctx)
	f.reportHostsOnFailure()
	set, err := f.hosts()
	f.fail(err)
	f.fail(set.refuseShared())
}

// Need returns the body of a BeforeEach or BeforeAll that sets up hosts at its first
// call in this process. A host that is up is used as it is, and stays up until the end
// of the suite, so a host that no running spec needs is never booted.
//
//	var _ = BeforeSuite(hosts.SetUpOnNeed)
//
//	var _ = Describe("reports", func() {
//		BeforeEach(hosts.Need("db_host"))
//		...
//	})
//
// The boot counts towards the timeout of the node. A set-up that fails fails the spec,
// and at once every later spec that needs the host, but a further attempt of a spec
// with FlakeAttempts tries again. After SetUp or Join all hosts are up, and Need does
// nothing.
func (f *Fixtures) Need(labels ...string) func(ginkgo.SpecContext) {
	at := callerOf(1)
	return func(ctx ginkgo.SpecContext) {
		f.failAt(at, f.need(ctx, labels))
	}
}

// need sets up the hosts that are not up.
func (f *Fixtures) need(ctx ginkgo.SpecContext, labels []string) error {
	for _, label := range labels {
		if !slices.Contains(f.labels, label) {
			return fmt.Errorf("Need(%q): the suite declares no such host (it declares %s): add the label to suite.Declare", label, strings.Join(f.labels, ", "))
		}
	}
	missing := slices.DeleteFunc(slices.Clone(labels), func(label string) bool { return host.Default.Get(label) != nil })
	if len(missing) == 0 {
		return nil
	}
	if !f.needed.ready {
		return fmt.Errorf("Need(%q): no node would tear the host down: add BeforeSuite(hosts.SetUpOnNeed) to the suite", missing[0])
	}
	if err := f.earlierFailure(missing); err != nil {
		return err
	}
	set, err := f.hosts()
	if err != nil {
		return err
	}
	booting, cancel := f.untilRunnerEnds(ctx)
	defer cancel()
	err = <-set.setUp(host.WithProgress(booting, stepPrinter()), missing, nil)
	if err != nil && ctx.Err() == nil {
		f.noteFailures(missing, err)
	}
	return err
}

// earlierFailure is the error of a set-up that has failed in this process. A further
// attempt of a spec starts anew.
func (f *Fixtures) earlierFailure(labels []string) error {
	f.needed.mu.Lock()
	defer f.needed.mu.Unlock()
	var errs []error
	for _, label := range labels {
		if ginkgo.CurrentSpecReport().NumAttempts > 1 {
			delete(f.needed.failed, label)
		}
		if err := f.needed.failed[label]; err != nil {
			errs = append(errs, fmt.Errorf("host %q: an earlier spec of this process needed it, and its set-up failed: %w", label, err))
		}
	}
	return errors.Join(errs...)
}

// noteFailures records the error of a set-up for the hosts that are not up.
func (f *Fixtures) noteFailures(labels []string, err error) {
	f.needed.mu.Lock()
	defer f.needed.mu.Unlock()
	for _, label := range labels {
		if host.Default.Get(label) == nil {
			if f.needed.failed == nil {
				f.needed.failed = map[string]error{}
			}
			f.needed.failed[label] = err
		}
	}
}

// untilRunnerEnds returns a context that also ends with the ginkgo command of a run of
// several processes.
func (f *Fixtures) untilRunnerEnds(ctx context.Context) (context.Context, context.CancelFunc) {
	running := f.runner.running
	if running == nil {
		return ctx, func() {}
	}
	watched, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(running, func() { cancel(context.Cause(running)) })
	return watched, func() { stop(); cancel(nil) }
}
