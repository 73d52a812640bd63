package suite

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/lock"
)

// turns are the hosts that the spec that runs has for itself.
type turns struct {
	mu   sync.Mutex
	run  string
	held map[string]int // how often the spec has taken a host
}

// begin notes the run that the process belongs to.
func (t *turns) begin(run string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.run = run
}

// again notes that a spec takes a host which it has already; it says no if the
// spec does not have it.
func (t *turns) again(label string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[label] == 0 {
		return false
	}
	t.held[label]++
	return true
}

// add counts a host as taken once more, or once less.
func (t *turns) add(label string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = map[string]int{}
	}
	t.held[label] += n
}

func (t *turns) has(label string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held[label] > 0
}

// Exclusive is the body of a BeforeEach whose specs have a host for themselves:
// one spec, in one process, at a time, in the order in which they ask for it.
// The host is free again when the spec has ended, however it ends, and when the
// process has. In a BeforeAll, it is free again at the end of the container.
//
// Ginkgo's progress reports tell who has the host for which a spec waits. The
// wait counts as the spec's time. Specs that take several hosts have to take
// them in the same order, or they may wait for each other.
//
// Whoever takes a host by its address takes it from everybody on this machine:
// other runs, that have the same existing machine, wait as well.
func (f *Fixtures) Exclusive(label string) func(ginkgo.SpecContext) {
	return func(ctx ginkgo.SpecContext) {
		ginkgo.GinkgoHelper()
		fail(f.take(ctx, label))
	}
}

// take waits for a host until the spec has it for itself.
func (f *Fixtures) take(ctx context.Context, label string) error {
	if !slices.Contains(f.labels, label) {
		return fmt.Errorf("Exclusive(%q): the suite has not declared that host, but %s", label, strings.Join(f.labels, ", "))
	}
	host, err := fixture.Lookup(label)
	if err != nil {
		return err
	}
	if f.turns.again(label) {
		ginkgo.DeferCleanup(func() { f.turns.add(label, -1) })
		return nil
	}
	dir, err := lock.Dir()
	if err != nil {
		return err
	}
	ticket, err := lock.Join(ctx, dir, f.turns.line(host.Address()), lock.Holder{PID: os.Getpid(), Label: label, Run: spec(), Since: time.Now()})
	if err != nil {
		return err
	}
	ginkgo.DeferCleanup(func(ginkgo.SpecContext) error { return ticket.Leave() })
	if err := await(ctx, host, ticket); err != nil {
		return err
	}
	f.turns.add(label, 1)
	ginkgo.DeferCleanup(func(ginkgo.SpecContext) { f.turns.add(label, -1) })
	return nil
}

// await waits until nobody is ahead, and tells in progress reports who is.
func await(ctx context.Context, host *fixture.CloudHost, ticket *lock.Ticket) error {
	var mu sync.Mutex
	var ahead []lock.Holder
	start := time.Now()
	waiting := func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("waiting for %s, which %s, for %v so far", host, who(ahead), time.Since(start).Round(100*time.Millisecond))
	}
	detach := ginkgo.AttachProgressReporter(waiting)
	defer detach()
	err := ticket.Await(ctx, func(now []lock.Holder) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		ahead = now
		return len(now) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", waiting(), err)
	}
	return nil
}

// who tells who has a host, and who comes next.
func who(ahead []lock.Holder) string {
	if len(ahead) == 0 {
		return "nobody has"
	}
	text := fmt.Sprintf("%s has, in the line since %s", ahead[0], ahead[0].Since.Local().Format(time.TimeOnly))
	for _, next := range ahead[1:] {
		text += "; then " + next.String()
	}
	return text
}

// line is the name of that for an address. An address of the loopback network
// is one of many machines'; those of one run are told apart by the run.
func (t *turns) line(address string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := "exclusive-" + address
	if ip, err := netip.ParseAddr(address); err == nil && ip.IsLoopback() {
		run := t.run
		if run == "" {
			run = fmt.Sprint(os.Getpid())
		}
		name += "-" + run
	}
	return name
}

// spec is the spec that runs, for people.
func spec() string {
	return fmt.Sprintf("%q in process %d of Ginkgo's", ginkgo.CurrentSpecReport().FullText(), ginkgo.GinkgoParallelProcess())
}

// NotExclusiveError says that a spec has used a host that there is once for
// several processes, without having it for itself.
type NotExclusiveError struct {
	Label     string
	Processes int // of the run
}

// Error names the host and what to write.
func (e *NotExclusiveError) Error() string {
	return fmt.Sprintf("host %q has a static address and is one for all %d processes, and this spec does not have it for itself: "+
		"write BeforeEach(hosts.Exclusive(%[1]q)) in its container", e.Label, e.Processes)
}

// guard sees to it that specs of several processes use hosts one at a time.
// What is no spec, as AfterSuite, may use them: it knows who else runs.
func (f *Fixtures) guard(labels []string) error {
	if processes() < 2 {
		return nil
	}
	for _, label := range labels {
		err := fixture.Guard(label, func() error {
			if f.turns.has(label) || !ginkgo.CurrentSpecReport().LeafNodeType.Is(types.NodeTypeIt) {
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
