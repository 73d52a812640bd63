package libvirt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
)

var _ provider.Reserver = (*cloneProvider)(nil)

// Reserve plans all clones of a batch, acquires their static addresses, in their
// order, and then reserves memory for all of them, on one hypervisor after the
// other.
func (p *cloneProvider) Reserve(ctx context.Context, batch []provider.Instance, queued func()) error {
	byLabel := map[string]*instance{}
	for _, one := range batch {
		i := one.(*instance)
		byLabel[i.label] = i
	}
	err := recovered.ForEach(slices.Sorted(maps.Keys(byLabel)), func(label string) error {
		err := byLabel[label].prepare(ctx)
		if err != nil && len(batch) > 1 {
			err = fmt.Errorf("%s: %w", label, err)
		}
		return err
	})
	if err != nil {
		return err
	}
	instances := slices.Collect(maps.Values(byLabel))
	// Waits are reported: the batch then has a place in a queue.
	waiting := provider.WithReporter(ctx, func(step, detail string) {
		queued()
		provider.Report(ctx, step, detail)
	})
	if err := lockAddresses(waiting, instances); err != nil {
		return err
	}
	byQueue := map[string][]*instance{}
	for _, i := range instances {
		if i.need.bytes > 0 {
			byQueue[i.need.queue] = append(byQueue[i.need.queue], i)
		}
	}
	for _, queue := range slices.Sorted(maps.Keys(byQueue)) {
		group := byQueue[queue]
		err := group[0].call(waiting, func(ctx context.Context, _ *connection) error { return reserveMemory(ctx, group, queued) })
		if err != nil {
			return err
		}
	}
	return nil
}

// lockAddresses acquires the static addresses of a batch, in their order, so that
// two batches cannot deadlock.
func lockAddresses(ctx context.Context, batch []*instance) error {
	exclusive := slices.DeleteFunc(slices.Clone(batch), func(i *instance) bool { return !i.exclusive() })
	slices.SortFunc(exclusive, func(a, b *instance) int { return a.config.Static.IP.Compare(b.config.Static.IP) })
	for _, i := range exclusive {
		if err := i.call(ctx, i.lockAddress); err != nil {
			return err
		}
	}
	return nil
}

// memoryNeed is the memory that a clone needs.
type memoryNeed struct {
	queue string // of the hypervisor
	total uint64 // memory of the hypervisor, in bytes
	bytes uint64 // 0 if it is not limited
}

// readMemoryNeed determines what a clone needs. All URLs of a hypervisor have the
// same queue.
func readMemoryNeed(conn *libvirt.Connect, c *clone) (memoryNeed, error) {
	bytes := memoryOf(c.definition)
	total, _, err := nodeMemory(conn)
	if isCode(err, libvirt.ERR_NO_SUPPORT) || bytes == 0 {
		return memoryNeed{}, nil
	}
	if err != nil {
		return memoryNeed{}, err
	}
	name, err := conn.GetHostname()
	if err != nil {
		return memoryNeed{}, fmt.Errorf("asking the hypervisor for its name: %w", said(err))
	}
	return memoryNeed{queue: "memory-" + name, total: total, bytes: bytes}, nil
}

// memoryReservation is the memory of the clones of a batch that have not started
// yet. A clone that runs is counted by the hypervisor.
type memoryReservation struct {
	mu      sync.Mutex
	ticket  *filelock.Ticket
	pending map[string]bool // labels
}

// release ends the reservation of a clone that has started, or will not. It may be
// called again, and on nil.
func (r *memoryReservation) release(label string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, label)
	if len(r.pending) == 0 && r.ticket != nil {
		_ = r.ticket.Release() // a ticket that stays counts only as long as this process lives
		r.ticket = nil
	}
}

// isFor reports whether memory is reserved for a clone. It may be called on nil.
func (r *memoryReservation) isFor(label string) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending[label]
}

// releaseMemory ends the reservation of this clone.
func (i *instance) releaseMemory() { i.memory.release(i.label) }

// reserveMemory waits until all clones fit into the memory of their hypervisor, and
// reserves it.
func reserveMemory(ctx context.Context, batch []*instance, queued func()) error {
	first := batch[0]
	var labels []string
	needs := uint64(0)
	for _, i := range batch {
		labels = append(labels, i.label)
		needs += i.need.bytes
	}
	slices.Sort(labels)
	conn := first.on.conn
	wait := newMemoryWait(MemoryError{URL: first.config.URL, Domain: first.config.BaseDomain, Hosts: labels, Needs: needs, Total: first.need.total})
	if needs > first.need.total {
		return &wait.short
	}
	ticket, err := joinMemoryQueue(ctx, first.need.queue, strings.Join(labels, ", "), needs)
	if err != nil {
		return err
	}
	queued()
	if err := awaitMemory(ctx, conn, ticket, wait, first.config.MemoryWait); err != nil {
		_ = ticket.Release()
		return err
	}
	reservation := &memoryReservation{ticket: ticket, pending: map[string]bool{}}
	for _, i := range batch {
		reservation.pending[i.label] = true
		i.memory = reservation
	}
	return nil
}

// awaitMemory waits until the holder of a ticket has its memory.
func awaitMemory(ctx context.Context, conn *libvirt.Connect, ticket *filelock.Ticket, wait *memoryWait, limit time.Duration) error {
	within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("memoryWait of %v expired", limit))
	defer cancel()
	err := ticket.Await(within, func(ahead []filelock.Holder) (bool, error) { return wait.over(ctx, conn, ahead) })
	if err != nil && within.Err() != nil && errors.Is(err, context.Cause(within)) {
		wait.short.Waited, wait.short.Cause = time.Since(wait.start), err
		return &wait.short
	}
	return err
}

// joinMemoryQueue joins the queue of a hypervisor.
func joinMemoryQueue(ctx context.Context, queue, labels string, needs uint64) (*filelock.Ticket, error) {
	dir, err := filelock.Dir()
	if err != nil {
		return nil, err
	}
	me := thisProcess(labels)
	me.Needs = needs
	return filelock.Join(ctx, dir, queue, me)
}
