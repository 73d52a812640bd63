package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/filelock"
	"libvirt.org/go/libvirt"
)

// memoryGroup are clones that are set up together on one hypervisor.
type memoryGroup struct {
	line   string        // of the hypervisor
	total  uint64        // that the hypervisor has, in bytes
	turn   chan struct{} // holds a token while none of them asks for the memory
	inLine chan struct{} // closed once they have their place in line

	mu     sync.Mutex
	shares []*memoryShare   // of those that have not begun to run yet
	ticket *filelock.Ticket // nil before the memory is theirs
	failed error            // why it never will be
}

// memoryShare is what one of them needs. Nil is nothing that could be counted.
type memoryShare struct {
	group *memoryGroup
	label string
	needs uint64 // in bytes
}

var _ fixture.Companion = (*instance)(nil)

// MeetsOthers says whether the clone gets its memory together with those that
// are set up at the same time. One that may have to wait for its address does
// not: the others would have memory, and wait for somebody who waits for that.
func (i *instance) MeetsOthers() bool { return !i.exclusive() }

// memoryKey is under which the clones of one hypervisor find each other. All
// URLs by which this machine knows it are one.
type memoryKey struct{ hypervisor string }

// needMemory notes what a clone needs. What it answers with is to be given back
// once the clone runs, or will not.
func (i *instance) needMemory(ctx context.Context, conn *libvirt.Connect, c *clone) (*memoryShare, error) {
	defer fixture.Arrived(ctx)
	needs := memoryOf(c.definition)
	total, _, err := nodeMemory(conn)
	if isCode(err, libvirt.ERR_NO_SUPPORT) || needs == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	name, err := conn.GetHostname()
	if err != nil {
		return nil, fmt.Errorf("asking the hypervisor for its name: %w", said(err))
	}
	group := newMemoryGroup("memory-"+name, total)
	if i.MeetsOthers() {
		group = fixture.InCommon(ctx, memoryKey{name}, func() *memoryGroup { return group })
	}
	share := &memoryShare{group, i.label, needs}
	share.claim()
	return share, nil
}

func newMemoryGroup(line string, total uint64) *memoryGroup {
	g := &memoryGroup{line: line, total: total, turn: make(chan struct{}, 1), inLine: make(chan struct{})}
	g.turn <- struct{}{}
	return g
}

// claim notes what is needed, if it has been given back.
func (s *memoryShare) claim() {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	if !slices.Contains(s.group.shares, s) {
		s.group.shares = append(s.group.shares, s)
	}
}

// giveBack is called when the clone runs, which the hypervisor tells from then
// on, or will not. It may be called again.
func (s *memoryShare) giveBack() {
	if s == nil {
		return
	}
	g := s.group
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shares = slices.DeleteFunc(g.shares, func(other *memoryShare) bool { return other == s })
	if len(g.shares) == 0 && g.ticket != nil {
		_ = g.ticket.Release() // a ticket that stays is of a process that has ended, to all others
		g.ticket = nil
	}
}

// sum is what all of them need.
func (g *memoryGroup) sum() (labels []string, needs uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, share := range g.shares {
		labels = append(labels, share.label)
		needs += share.needs
	}
	slices.Sort(labels)
	return labels, needs
}

// reserveMemory waits until the clone, and those that are set up together with
// it, fit into the memory of their hypervisor.
func (i *instance) reserveMemory(ctx context.Context, conn *libvirt.Connect, share *memoryShare) error {
	if share == nil {
		return nil
	}
	if i.MeetsOthers() {
		if err := fixture.AllArrived(ctx); err != nil {
			return err
		}
	}
	share.claim() // a clone that another machine was faster with comes again
	g := share.group
	if err := g.take(ctx); err != nil {
		return err
	}
	defer func() { g.turn <- struct{}{} }()
	if g.failed != nil || g.ticket != nil {
		return g.failed
	}
	return i.reserveFor(ctx, conn, g)
}

// take waits until none of the others asks for the memory.
func (g *memoryGroup) take(ctx context.Context) error {
	inLine := g.inLine
	for {
		select {
		case <-g.turn:
			return nil
		case <-inLine:
			fixture.Placed(ctx)
			inLine = nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reserveFor waits for the memory of a whole group.
func (i *instance) reserveFor(ctx context.Context, conn *libvirt.Connect, g *memoryGroup) error {
	labels, needs := g.sum()
	wait := newMemoryWait(MemoryError{URL: i.config.URL, Domain: i.config.BaseDomain, Hosts: labels, Needs: needs, Total: g.total})
	if needs > g.total {
		g.failed = &wait.short
		return g.failed
	}
	ticket, err := g.join(ctx, strings.Join(labels, ", "), needs)
	if err != nil {
		return err
	}
	fixture.Placed(ctx)
	limit := i.config.MemoryWait
	within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("memoryWait of %v is over", limit))
	defer cancel()
	err = ticket.Await(within, func(ahead []filelock.Holder) (bool, error) { return wait.over(ctx, conn, ahead) })
	if err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.ticket = ticket
		return nil
	}
	_ = ticket.Release()
	if within.Err() != nil && errors.Is(err, context.Cause(within)) {
		wait.short.Waited, wait.short.Cause = time.Since(wait.start), err
		if err = &wait.short; ctx.Err() == nil {
			g.failed = err // the others do not wait as long again
		}
	}
	return err
}

// join stands in the line.
func (g *memoryGroup) join(ctx context.Context, labels string, needs uint64) (*filelock.Ticket, error) {
	dir, err := filelock.Dir()
	if err != nil {
		return nil, err
	}
	me := thisProcess(labels)
	me.Needs = needs
	ticket, err := filelock.Join(ctx, dir, g.line, me)
	if err != nil {
		return nil, err
	}
	select {
	case <-g.inLine: // another of them was, and gave up
	default:
		close(g.inLine)
	}
	return ticket, nil
}
