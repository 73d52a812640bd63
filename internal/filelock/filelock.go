// Package filelock is a lock with a queue between the processes of one machine,
// whatever users run them.
//
// [Join] adds the caller to the queue of a name and returns a [Ticket]. Tickets
// are served in the order in which they joined: the first in the queue holds
// the lock until it releases the ticket. [Acquire] joins a queue and waits until
// the ticket is first. [Ticket.Await] waits for another condition, for example
// until what the tickets ahead need leaves enough of a shared resource.
//
// A queue is a folder, and a ticket is a file in it that its owner keeps locked
// (flock) and that describes the owner for the messages of those who wait. The
// kernel releases the lock of a process that ends, also of one that is killed.
// The next process that joins then removes the ticket's file.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// BusyError reports that a lock was held by another process until the context
// of [Acquire] ended.
type BusyError struct {
	Name   string
	Holder Holder // of the lock, at the last attempt
	Waited time.Duration
	Cause  error // the context's cause
}

// Error names the lock, its holder, the time waited and what to do.
func (e *BusyError) Error() string {
	return fmt.Sprintf("lock %s is held by %s since %s; waited %v: %v: wait longer, or end that process",
		e.Name, e.Holder, e.Holder.Since.Local().Format(time.DateTime), e.Waited.Round(10*time.Millisecond), e.Cause)
}

// Unwrap returns the cause.
func (e *BusyError) Unwrap() error { return e.Cause }

// Acquire joins the queue of a name in folder dir and waits until the ticket is
// first. Releasing the ticket releases the lock. The lock is tried at least
// once; when ctx ends before the ticket is first, the error is a *[BusyError].
// While another process holds the lock, waiting, which may be nil, is called
// with the holder: once for each holder.
func Acquire(ctx context.Context, dir, name string, me Holder, waiting func(Holder)) (*Ticket, error) {
	start := time.Now()
	ticket, err := Join(ctx, dir, name, me)
	if err != nil {
		return nil, err
	}
	var holder Holder
	shown := ""
	err = ticket.Await(ctx, func(ahead []Holder) (bool, error) {
		if len(ahead) == 0 {
			return true, nil
		}
		holder = ahead[0]
		if waiting != nil && holder.String() != shown {
			shown = holder.String()
			waiting(holder)
		}
		return false, nil
	})
	if err == nil {
		return ticket, nil
	}
	_ = ticket.Release() // the wait's error is what the caller needs
	if ctx.Err() != nil {
		err = &BusyError{Name: name, Holder: holder, Waited: time.Since(start), Cause: err}
	}
	return nil, err
}

// TryAcquire acquires the lock of a name in folder dir if it is free. The ticket is
// nil if another process holds the lock.
func TryAcquire(ctx context.Context, dir, name string, me Holder) (*Ticket, error) {
	ticket, err := Join(ctx, dir, name, me)
	if err != nil {
		return nil, err
	}
	ahead, err := ticket.Ahead()
	if err == nil && len(ahead) == 0 {
		return ticket, nil
	}
	return nil, errors.Join(err, ticket.Release())
}
