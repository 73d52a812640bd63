package filelock

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// FindDeadlock looks for a cycle of owners that wait for each other and that the
// ticket's owner closed: the first of those returned holds what the ticket waits
// for and waits for what the second one holds, and so on; the last one waits for
// what the ticket's owner holds. The result is nil if there is no cycle, or if
// another owner closed it by joining later: only one of them finds the deadlock.
func (t *Ticket) FindDeadlock() ([]Holder, error) {
	// A breadth-first search, from the queues that the owner holds to those who
	// wait in them, to the queues that these hold, and so on.
	type step struct {
		queue string
		path  []Holder // from those who wait in the queue back to the owner
	}
	var next []step
	for _, queue := range t.me.Holds {
		next = append(next, step{queue: queue})
	}
	seen := slices.Clone(t.me.Holds)
	for len(next) > 0 {
		current := next[0]
		next = next[1:]
		waiting, err := t.olderIn(current.queue)
		if err != nil {
			return nil, err
		}
		for _, holder := range waiting {
			path := append([]Holder{holder}, current.path...)
			if slices.Contains(holder.Holds, t.name) {
				return path, nil
			}
			for _, queue := range holder.Holds {
				if !slices.Contains(seen, queue) {
					seen = append(seen, queue)
					next = append(next, step{queue, path})
				}
			}
		}
	}
	return nil, nil
}

// olderIn returns the owners of tickets in another queue that joined before the
// ticket did.
func (t *Ticket) olderIn(name string) ([]Holder, error) {
	queue, err := openQueue(t.dir, name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the queue of %s: %w", name, err)
	}
	defer queue.Close()
	numbers, err := queue.ticketNumbers()
	if err != nil {
		return nil, fmt.Errorf("reading the queue of %s: %w", name, err)
	}
	var older []Holder
	for _, number := range numbers {
		if holder, live := queue.readTicket(number); live && holder.Since.Before(t.me.Since) {
			older = append(older, holder)
		}
	}
	return older, nil
}
