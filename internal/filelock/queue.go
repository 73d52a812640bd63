package filelock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"
)

// Ticket is a place in a queue. The kernel releases the ticket of a process that
// ends.
type Ticket struct {
	dir     string // of all queues
	queue   queueFolder
	name    string // of the queue
	me      Holder
	number  uint64
	file    *os.File // locked
	release func() error
}

// Intervals between attempts. They double from the first to the last.
const (
	firstJoinInterval  = time.Millisecond // the queue's lock is held for less
	lastJoinInterval   = 10 * time.Millisecond
	firstAwaitInterval = 10 * time.Millisecond
	lastAwaitInterval  = 200 * time.Millisecond
)

// queueLock is the file that a process locks while it joins the queue.
const queueLock = "queue.lock"

// Join adds a ticket to the end of the queue of a name in folder dir, and
// creates the queue if needed. It waits only while other processes join the
// same queue; when ctx ends meanwhile, the error wraps its cause.
func Join(ctx context.Context, dir, name string, me Holder) (*Ticket, error) {
	return joinAt(ctx, dir, name, me, func(_, last uint64) uint64 { return max(last, middle) + 1 })
}

// JoinFirst is Join that adds the ticket to the beginning of the queue. It is for a process that
// has what others wait for, and is about to release it and to take it again.
func JoinFirst(ctx context.Context, dir, name string, me Holder) (*Ticket, error) {
	return joinAt(ctx, dir, name, me, func(first, _ uint64) uint64 { return max(1, min(first, middle+1)) - 1 })
}

// middle is below the number of the first ticket of Join. Numbers go down from there for JoinFirst.
const middle = 500_000_000_000

// joinAt joins a queue with the number that follows from the lowest and the highest of its tickets.
// Without tickets, these are the highest number and 0.
func joinAt(ctx context.Context, dir, name string, me Holder, number func(first, last uint64) uint64) (*Ticket, error) {
	queue, err := openOrCreateQueue(dir, name)
	if err != nil {
		return nil, fmt.Errorf("joining the queue of %s: %w", name, err)
	}
	t := &Ticket{dir: dir, queue: queue, name: name, me: me}
	t.release = sync.OnceValue(t.remove)
	if err := t.join(ctx, number); err != nil {
		queue.Close()
		return nil, fmt.Errorf("joining the queue of %s: %w", name, err)
	}
	return t, nil
}

func (t *Ticket) join(ctx context.Context, number func(first, last uint64) uint64) error {
	lock, err := t.queue.openOrCreate(queueLock)
	if err != nil {
		return err
	}
	defer lock.Close() // which also unlocks it
	err = poll(ctx, firstJoinInterval, lastJoinInterval, func() (bool, error) { return tryLock(lock, exclusive) })
	if err != nil {
		return err
	}
	first, last, err := t.queue.removeDead()
	if err != nil {
		return err
	}
	t.number = number(first, last)
	t.file, err = t.queue.createTicket(t.number, t.me)
	return err
}

// removeDead removes the tickets of processes that have ended, and returns the
// lowest and the highest number of a ticket. The caller holds the queue's lock.
func (q queueFolder) removeDead() (first, last uint64, err error) {
	numbers, err := q.ticketNumbers()
	if err != nil {
		return 0, 0, err
	}
	first = math.MaxUint64
	for _, number := range numbers {
		first, last = min(first, number), max(last, number)
		if _, live := q.readTicket(number); !live {
			_ = q.Remove(ticketName(number)) // fails for another user's ticket, which counts for nothing
		}
	}
	return first, last, q.removeUnfinished()
}

// Ahead returns the owners of the tickets ahead in the queue, the first one
// first.
func (t *Ticket) Ahead() ([]Holder, error) {
	numbers, err := t.queue.ticketNumbers()
	if err != nil {
		return nil, fmt.Errorf("reading the queue of %s: %w", t.name, err)
	}
	var ahead []Holder
	for _, number := range numbers {
		if number >= t.number {
			break
		}
		if holder, live := t.queue.readTicket(number); live {
			ahead = append(ahead, holder)
		}
	}
	return ahead, nil
}

// Await calls ready with the owners of the tickets ahead, again and again until
// it returns true. It calls ready at least once. The error is that of ready, or
// the context's cause.
func (t *Ticket) Await(ctx context.Context, ready func(ahead []Holder) (bool, error)) error {
	return poll(ctx, firstAwaitInterval, lastAwaitInterval, func() (bool, error) {
		ahead, err := t.Ahead()
		if err != nil {
			return false, err
		}
		return ready(ahead)
	})
}

// Release gives up the place in the queue. It may be called again.
func (t *Ticket) Release() error { return t.release() }

// remove deletes the ticket's file before it unlocks it: once it is unlocked,
// another ticket may have its number.
func (t *Ticket) remove() error {
	err := errors.Join(t.queue.Remove(ticketName(t.number)), t.file.Close(), t.queue.Close())
	if err != nil {
		return fmt.Errorf("leaving the queue of %s: %w", t.name, err)
	}
	return nil
}

// poll calls try until it returns true or an error: at once, and then at
// intervals that double from first to last. When ctx ends, it returns the cause.
func poll(ctx context.Context, first, last time.Duration, try func() (bool, error)) error {
	for interval := first; ; interval = min(2*interval, last) {
		if done, err := try(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(interval):
		}
	}
}
