package suite

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/internal/host"
)

// Exclusive returns the body of a BeforeEach that acquires exclusive use of a
// host: one spec in one process holds the host at a time, in the order in which
// they asked for it. The host is released when the spec ends, however it ends,
// and when its process ends. In a BeforeAll it is released at the end of the
// container.
//
// Progress reports name the holder of a host that a spec waits for. The wait
// counts towards the spec's timeout. Specs that acquire several hosts must do so
// in the same order; otherwise two of them can wait for each other, and one is
// failed with a [*DeadlockError].
//
// The queue belongs to the host's address and is shared by all runs on this
// machine, so two runs that use the same existing machine wait for each other.
// Loopback addresses are exempt: each run has its own queue for them.
func (f *Fixtures) Exclusive(label string) func(ginkgo.SpecContext) {
	at := callerOf(1)
	return func(ctx ginkgo.SpecContext) {
		f.failAt(at, f.acquire(ctx, label))
	}
}

// acquire waits until the spec has exclusive use of a host.
func (f *Fixtures) acquire(ctx context.Context, label string) error {
	if !slices.Contains(f.labels, label) {
		return fmt.Errorf("Exclusive(%q): the suite declares no such host (it declares %s): add the label to suite.Declare", label, strings.Join(f.labels, ", "))
	}
	h, err := fixture.Lookup(label)
	if err != nil {
		return err
	}
	if f.uses.reacquire(label) {
		ginkgo.DeferCleanup(func() { f.uses.release(label) })
		return nil
	}
	dir, err := filelock.Dir()
	if err != nil {
		return err
	}
	queue := f.uses.queue(h.Address())
	ticket, err := filelock.Join(ctx, dir, queue, filelock.Holder{PID: os.Getpid(), Label: label, Detail: currentSpec(), Since: time.Now(), Holds: f.uses.queues()})
	if err != nil {
		return err
	}
	ginkgo.DeferCleanup(func(ginkgo.SpecContext) error { return ticket.Release() })
	if err := awaitTicket(ctx, h, ticket); err != nil {
		return err
	}
	f.uses.acquired(label, queue)
	if slices.Contains(f.reverted, label) { // another process may have reverted it: a connection from before is dead
		if err := host.Default.DropConnection(ctx, label); err != nil {
			return err
		}
	}
	ginkgo.DeferCleanup(func(ginkgo.SpecContext) { f.uses.release(label) })
	return nil
}

// awaitTicket waits until a ticket is first in its queue. Meanwhile progress
// reports show the queue.
func awaitTicket(ctx context.Context, host *fixture.CloudHost, ticket *filelock.Ticket) error {
	var mu sync.Mutex
	var ahead []filelock.Holder
	start := time.Now()
	waiting := func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("waiting for exclusive use of %s for %v: %s", host, time.Since(start).Round(100*time.Millisecond), describeQueue(ahead))
	}
	detach := ginkgo.AttachProgressReporter(waiting)
	defer detach()
	err := ticket.Await(ctx, func(now []filelock.Holder) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		ahead = now
		if len(now) == 0 {
			return true, nil
		}
		cycle, err := ticket.FindDeadlock()
		if err == nil && cycle != nil {
			err = newDeadlockError(host.Label(), cycle)
		}
		return false, err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", waiting(), err)
	}
	return nil
}

// describeQueue names the holder of a host and those that come next.
func describeQueue(ahead []filelock.Holder) string {
	if len(ahead) == 0 {
		return "no other spec holds it"
	}
	text := fmt.Sprintf("held by %s, queued since %s", ahead[0], ahead[0].Since.Local().Format(time.TimeOnly))
	for _, next := range ahead[1:] {
		text += "; next " + next.String()
	}
	return text
}

// currentSpec names the running spec for the processes that wait for it.
func currentSpec() string {
	return fmt.Sprintf("%q in Ginkgo process %d", ginkgo.CurrentSpecReport().FullText(), ginkgo.GinkgoParallelProcess())
}

// DeadlockError reports that specs that run at the same time wait for each
// other, because they acquire the same hosts in different orders.
type DeadlockError struct {
	Label string // of the host that the failed spec waits for
	// Others describes the other specs of the cycle, for messages: the first
	// one holds that host and waits for a host that the second one holds, and
	// so on; the last one waits for a host that the failed spec holds.
	Others []string
}

// Error names the specs that wait for each other, and what to do.
func (e *DeadlockError) Error() string {
	return fmt.Sprintf("deadlock: the host is held by %s, which the failed spec holds: acquire hosts in the same order in every spec",
		strings.Join(e.Others, ", which is held by "))
}

func newDeadlockError(label string, cycle []filelock.Holder) *DeadlockError {
	e := &DeadlockError{Label: label}
	for _, other := range cycle {
		e.Others = append(e.Others, fmt.Sprintf("%s, which waits for %s", other.Detail, other.Label))
	}
	return e
}

// NotExclusiveError reports that a spec used a host with a static address, which
// several processes share, without [Fixtures.Exclusive].
type NotExclusiveError struct {
	Label     string
	Processes int  // of the run
	Reverted  bool // the spec wanted to revert the host, see Pristine
}

// Error names the host and the code to add.
func (e *NotExclusiveError) Error() string {
	if e.Reverted {
		return fmt.Sprintf("host %q is shared by %d processes, and Pristine would change it for their specs: "+
			"add BeforeEach(hosts.Exclusive(%[1]q)) before BeforeEach(hosts.Pristine(%[1]q))", e.Label, e.Processes)
	}
	return fmt.Sprintf("host %q has a static address and is shared by %d processes, and this spec does not have exclusive use of it: "+
		"add BeforeEach(hosts.Exclusive(%[1]q)) to its container", e.Label, e.Processes)
}

// requireExclusive makes specs that use a host without Exclusive fail, if the
// run has several processes. Other nodes may use the host at any time: AfterSuite, for
// example, can know that no spec runs.
func (f *Fixtures) requireExclusive(labels []string) error {
	if processes() < 2 {
		return nil
	}
	for _, label := range labels {
		err := host.Default.Restrict(label, func() error {
			if f.uses.has(label) || !ginkgo.CurrentSpecReport().LeafNodeType.Is(types.NodeTypeIt) {
				return nil
			}
			return &NotExclusiveError{Label: label, Processes: processes()}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
