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
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Need is the memory that a clone needs.
type Need struct {
	Queue string // name of the hypervisor's queue
	total uint64 // memory of the hypervisor, in bytes
	Bytes uint64 // 0 if it is not limited
}

// ReadNeed determines what a clone needs. All URLs of a hypervisor have one queue.
func ReadNeed(conn *libvirt.Connect, definition *libvirtxml.Domain) (Need, error) {
	bytes := memoryOf(definition)
	node, err := readNodeMemory(conn)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT) || bytes == 0 {
		return Need{}, nil
	}
	if err != nil {
		return Need{}, err
	}
	name, err := conn.GetHostname()
	if err != nil {
		return Need{}, fmt.Errorf("reading the host name of the hypervisor: %w", virt.StripCodes(err))
	}
	return Need{Queue: "memory-" + name, total: node.total, Bytes: bytes}, nil
}

// CheckFits fails with a *[ShortageError] if the clone needs more memory than its
// hypervisor has.
func (n Need) CheckFits(url, baseDomain string) error {
	if n.Bytes > n.total {
		return &ShortageError{URL: url, Domain: baseDomain, Needs: n.Bytes, Total: n.total}
	}
	return nil
}

// String returns the need and the memory of the hypervisor.
func (n Need) String() string {
	if n.Bytes == 0 {
		return "not limited"
	}
	return fmt.Sprintf("a clone needs %s, the hypervisor has %s", size(n.Bytes), size(n.total))
}

// Reservation is the memory of the clones of a batch that have not started yet. The
// hypervisor counts the memory of running clones.
type Reservation struct {
	mu      sync.Mutex
	ticket  *filelock.Ticket
	pending map[string]bool // labels
}

// Release ends the reservation of a clone that has started or failed to. It may be
// called more than once, and on nil.
func (r *Reservation) Release(label string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, label)
	if len(r.pending) == 0 && r.ticket != nil {
		_ = r.ticket.Release() // a ticket that is left ends with this process
		r.ticket = nil
	}
}

// IsFor reports whether memory is reserved for a clone. It may be called on nil.
func (r *Reservation) IsFor(label string) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending[label]
}

// Request is what the clones of a batch need on one hypervisor.
type Request struct {
	URL        string
	BaseDomain string          // of one of them
	Needs      map[string]Need // by label; all have one queue
	Wait       time.Duration   // limit
}

// Reserve waits until all clones of a request fit into the memory of their hypervisor,
// and reserves it. It calls queued when the request has its place in the queue. It
// fails with a *[ShortageError].
func Reserve(ctx context.Context, conn *libvirt.Connect, r Request, queued func()) (*Reservation, error) {
	labels := slices.Sorted(maps.Keys(r.Needs))
	needs, first := uint64(0), r.Needs[labels[0]]
	for _, need := range r.Needs {
		needs += need.Bytes
	}
	wait := newWait(ShortageError{URL: r.URL, Domain: r.BaseDomain, Hosts: labels, Needs: needs, Total: first.total})
	if needs > first.total {
		return nil, &wait.shortage
	}
	ticket, err := joinQueue(ctx, first.Queue, strings.Join(labels, ", "), needs, filelock.Join)
	if err != nil {
		return nil, err
	}
	queued()
	return afterWait(ctx, await(ctx, conn, ticket, wait, r.Wait), ticket, labels...)
}

// afterWait returns the reservation of a ticket, or releases the ticket if the wait has failed or
// ctx has ended. After that, the hosts may be torn down already, and would not release it.
func afterWait(ctx context.Context, err error, ticket *filelock.Ticket, labels ...string) (*Reservation, error) {
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = ticket.Release()
		return nil, err
	}
	return newReservation(ticket, labels...), nil
}

func newReservation(ticket *filelock.Ticket, labels ...string) *Reservation {
	reservation := &Reservation{ticket: ticket, pending: map[string]bool{}}
	for _, label := range labels {
		reservation.pending[label] = true
	}
	return reservation
}

// Hold reserves the memory of a running clone for another one that replaces it. It does not wait:
// the clones in the queue may wait for other memory that this process holds.
func Hold(ctx context.Context, need Need, label string) (*Reservation, error) {
	ticket, err := joinQueue(ctx, need.Queue, label, need.Bytes, filelock.JoinFirst)
	if err != nil {
		return nil, err
	}
	return newReservation(ticket, label), nil
}

// await waits until the clones of a ticket fit.
func await(ctx context.Context, conn *libvirt.Connect, ticket *filelock.Ticket, wait *wait, limit time.Duration) error {
	within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("memoryWait of %v expired", limit))
	defer cancel()
	err := ticket.Await(within, func(ahead []filelock.Holder) (bool, error) { return wait.fits(ctx, conn, ahead) })
	if err != nil && within.Err() != nil && errors.Is(err, context.Cause(within)) {
		wait.shortage.Waited, wait.shortage.Cause = time.Since(wait.start), err
		return &wait.shortage
	}
	return err
}

// joinQueue joins the queue of a hypervisor, at its end or at its beginning.
func joinQueue(ctx context.Context, queue, labels string, needs uint64, join func(context.Context, string, string, filelock.Holder) (*filelock.Ticket, error)) (*filelock.Ticket, error) {
	dir, err := filelock.Dir()
	if err != nil {
		return nil, err
	}
	me := owner.NewHolder(labels)
	me.Needs = needs
	return join(ctx, dir, queue, me)
}

// wait is the wait for memory.
type wait struct {
	start    time.Time
	step     owner.WaitReporter
	shortage ShortageError // as of the last check
}

func newWait(short ShortageError) *wait {
	return &wait{start: time.Now(), step: owner.WaitReporter{Step: "waiting for memory"}, shortage: short}
}

// fits reports whether the clones fit. The queue was read before the hypervisor is, so
// that clones that leave the queue in between count as running.
func (w *wait) fits(ctx context.Context, conn *libvirt.Connect, ahead []filelock.Holder) (bool, error) {
	node, err := readNodeMemory(conn)
	if err != nil {
		return false, err
	}
	clones, sharedByOthers, err := runningDomains(conn, node.countsShared)
	if err != nil {
		return false, err
	}
	defer clones.free()
	free := node.free - min(sharedByOthers, node.free)
	reserved := reservedBy(ahead, w.shortage.Total)
	w.shortage.Users = nil
	for _, next := range ahead {
		w.shortage.Users = append(w.shortage.Users, next.String())
	}
	// The memory that a clone already uses is no longer free and must not be counted
	// twice. Reading it takes a call for each clone, so it is done only if needed.
	if w.shortage.Needs+reserved+clones.unreserved() <= free {
		return true, nil
	}
	clones.readRSS(node.countsShared)
	reserved += clones.unreserved()
	w.shortage.Users = append(w.shortage.Users, clones.names()...)
	w.shortage.Free = free - min(reserved, free)
	if w.shortage.Needs <= w.shortage.Free {
		return true, nil
	}
	w.report(ctx)
	return false, nil
}

// reservedBy returns what the tickets ahead need. Their content is not trusted: no
// ticket counts for more than the hypervisor's total memory.
func reservedBy(ahead []filelock.Holder, total uint64) (sum uint64) {
	for _, next := range ahead {
		sum += min(next.Needs, total)
	}
	return sum
}

// report reports what the clones wait for.
func (w *wait) report(ctx context.Context) {
	holders := w.shortage.holders()
	w.step.Report(ctx, holders, fmt.Sprintf("of %s (needs %s, %s of %s are free): %s", redact.Text(w.shortage.URL), size(w.shortage.Needs), size(w.shortage.Free), size(w.shortage.Total), holders))
}
