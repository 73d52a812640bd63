package memory

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
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// memoryNeed is the memory that a clone needs.
type Need struct {
	Queue string // of the hypervisor
	total uint64 // memory of the hypervisor, in bytes
	Bytes uint64 // 0 if it is not limited
}

// readMemoryNeed determines what a clone needs. All URLs of a hypervisor have the
// same queue.
func ReadNeed(conn *libvirt.Connect, definition *libvirtxml.Domain) (Need, error) {
	bytes := memoryOf(definition)
	total, _, err := nodeMemory(conn)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT) || bytes == 0 {
		return Need{}, nil
	}
	if err != nil {
		return Need{}, err
	}
	name, err := conn.GetHostname()
	if err != nil {
		return Need{}, fmt.Errorf("asking the hypervisor for its name: %w", virt.StripCodes(err))
	}
	return Need{Queue: "memory-" + name, total: total, Bytes: bytes}, nil
}

// memoryReservation is the memory of the clones of a batch that have not started
// yet. A clone that runs is counted by the hypervisor.
type Reservation struct {
	mu      sync.Mutex
	ticket  *filelock.Ticket
	pending map[string]bool // labels
}

// release ends the reservation of a clone that has started, or will not. It may be
// called again, and on nil.
func (r *Reservation) Release(label string) {
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
func (r *Reservation) IsFor(label string) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending[label]
}

// memoryRequest is what the clones of a batch need on one hypervisor.
type Request struct {
	URL        string
	BaseDomain string          // of one of them
	Needs      map[string]Need // by label; all have one queue
	Wait       time.Duration   // limit
}

// reserveMemory waits until all clones of a request fit into the memory of their
// hypervisor, and reserves it. It calls queued when the request has its place in
// the queue.
func Reserve(ctx context.Context, conn *libvirt.Connect, r Request, queued func()) (*Reservation, error) {
	labels := slices.Sorted(maps.Keys(r.Needs))
	needs, first := uint64(0), r.Needs[labels[0]]
	for _, need := range r.Needs {
		needs += need.Bytes
	}
	wait := NewMemoryWait(MemoryError{URL: r.URL, Domain: r.BaseDomain, Hosts: labels, Needs: needs, Total: first.total})
	if needs > first.total {
		return nil, &wait.Short
	}
	ticket, err := joinMemoryQueue(ctx, first.Queue, strings.Join(labels, ", "), needs)
	if err != nil {
		return nil, err
	}
	queued()
	if err := awaitMemory(ctx, conn, ticket, wait, r.Wait); err != nil {
		_ = ticket.Release()
		return nil, err
	}
	reservation := &Reservation{ticket: ticket, pending: map[string]bool{}}
	for _, label := range labels {
		reservation.pending[label] = true
	}
	return reservation, nil
}

// awaitMemory waits until the holder of a ticket has its memory.
func awaitMemory(ctx context.Context, conn *libvirt.Connect, ticket *filelock.Ticket, wait *memoryWait, limit time.Duration) error {
	within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("memoryWait of %v expired", limit))
	defer cancel()
	err := ticket.Await(within, func(ahead []filelock.Holder) (bool, error) { return wait.over(ctx, conn, ahead) })
	if err != nil && within.Err() != nil && errors.Is(err, context.Cause(within)) {
		wait.Short.Waited, wait.Short.Cause = time.Since(wait.start), err
		return &wait.Short
	}
	return err
}

// joinMemoryQueue joins the queue of a hypervisor.
func joinMemoryQueue(ctx context.Context, queue, labels string, needs uint64) (*filelock.Ticket, error) {
	dir, err := filelock.Dir()
	if err != nil {
		return nil, err
	}
	me := owner.NewHolder(labels)
	me.Needs = needs
	return filelock.Join(ctx, dir, queue, me)
}
