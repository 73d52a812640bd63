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
	"github.com/overcast-go/overcast/internal/filelock"
)

// turns are the hosts that the spec that runs has for itself.
type turns struct {
	mu   sync.Mutex
	run  string
	held map[string]*turn // by label
}

// turn is a host that a spec has for itself.
type turn struct {
	line  string // in which the spec is the first
	taken int    // how often the spec has taken it
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
	held := t.held[label]
	if held != nil {
		held.taken++
	}
	return held != nil
}

// got notes that a spec has a host.
func (t *turns) got(label, line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = map[string]*turn{}
	}
	t.held[label] = &turn{line, 1}
}

// gave notes that a spec does not need a host any more.
func (t *turns) gave(label string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[label].taken--; t.held[label].taken == 0 {
		delete(t.held, label)
	}
}

func (t *turns) has(label string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held[label] != nil
}

// lines are those in which the spec is the first.
func (t *turns) lines() (names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, held := range t.held {
		names = append(names, held.line)
	}
	return names
}

// Exclusive is the body of a BeforeEach whose specs have a host for themselves:
// one spec, in one process, at a time, in the order in which they ask for it.
// The host is free again when the spec has ended, however it ends, and when the
// process has. In a BeforeAll, it is free again at the end of the container.
//
// Ginkgo's progress reports tell who has the host for which a spec waits. The
// wait counts as the spec's time. Specs that take several hosts have to take
// them in the same order: of those that would wait for each other for ever, one
// is failed with a [*CircleError].
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
		ginkgo.DeferCleanup(func() { f.turns.gave(label) })
		return nil
	}
	dir, err := filelock.Dir()
	if err != nil {
		return err
	}
	line := f.turns.line(host.Address())
	ticket, err := filelock.Join(ctx, dir, line, filelock.Holder{PID: os.Getpid(), Label: label, Detail: spec(), Since: time.Now(), Holds: f.turns.lines()})
	if err != nil {
		return err
	}
	ginkgo.DeferCleanup(func(ginkgo.SpecContext) error { return ticket.Release() })
	if err := await(ctx, host, ticket); err != nil {
		return err
	}
	f.turns.got(label, line)
	ginkgo.DeferCleanup(func(ginkgo.SpecContext) { f.turns.gave(label) })
	return nil
}

// await waits until nobody is ahead, and tells in progress reports who is.
func await(ctx context.Context, host *fixture.CloudHost, ticket *filelock.Ticket) error {
	var mu sync.Mutex
	var ahead []filelock.Holder
	start := time.Now()
	waiting := func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("waiting for %s, which %s, for %v so far", host, who(ahead), time.Since(start).Round(100*time.Millisecond))
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
		circle, err := ticket.FindDeadlock()
		if err == nil && circle != nil {
			err = circleOf(host.Label(), circle)
		}
		return false, err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", waiting(), err)
	}
	return nil
}

// CircleError says that specs that run at the same time would wait for each
// other for ever: they take the same hosts in different orders.
type CircleError struct {
	Label string // of the host that the failed spec asked for
	// Others are the specs in between, for people: the first has that host
	// and waits for what the next one has, and the last waits for a host that
	// the failed spec has.
	Others []string
}

// Error names who waits for whom, and what to do.
func (e *CircleError) Error() string {
	return fmt.Sprintf("that would last for ever: the host is had by %s, which the failed spec has: have all specs take their hosts in one order",
		strings.Join(e.Others, ", which is had by "))
}

// circleOf is the error of a spec that asks for a host, and of those in the way.
func circleOf(label string, others []filelock.Holder) *CircleError {
	e := &CircleError{Label: label}
	for _, other := range others {
		e.Others = append(e.Others, fmt.Sprintf("%s, which waits for %s", other.Detail, other.Label))
	}
	return e
}

// who tells who has a host, and who comes next.
func who(ahead []filelock.Holder) string {
	if len(ahead) == 0 {
		return "nobody has"
	}
	text := fmt.Sprintf("%s has, in the line since %s", ahead[0], ahead[0].Since.Local().Format(time.TimeOnly))
	for _, next := range ahead[1:] {
		text += "; then " + next.String()
	}
	return text
}

// removeLines takes the lines away that were this run's only. Process 1 does it,
// when all others have ended.
func (f *Fixtures) removeLines() {
	dir, err := filelock.Dir()
	if err != nil {
		return
	}
	for _, label := range f.labels {
		host, err := fixture.Lookup(label)
		if err == nil && isAnybodys(host.Address()) {
			_ = filelock.RemoveQueue(dir, f.turns.line(host.Address())) // what stays, is empty
		}
	}
}

// isAnybodys says whether an address is of the loopback network: one of many
// machines'.
func isAnybodys(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.IsLoopback()
}

// line is the name of that for an address. Those that are anybody's are told
// apart by the run.
func (t *turns) line(address string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := "exclusive-" + address
	if isAnybodys(address) {
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
