//go:build unix

package lock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Circle answers with those whom the ticket waits for, and who wait for it: the
// first one has what the ticket waits for, and waits for what the next one has;
// the last one waits for what the ticket's owner has. None of them would ever
// get on. Of all those in a circle, only who joined it last is told so.
// Nil is no circle, yet.
func (t *Ticket) Circle() ([]Holder, error) {
	// From what the owner holds, to those who wait for that, to what they
	// hold, and so on.
	type reached struct {
		line string
		by   []Holder
	}
	var search []reached
	for _, line := range t.me.Holds {
		search = append(search, reached{line: line})
	}
	seen := slices.Clone(t.me.Holds)
	for len(search) > 0 {
		next := search[0]
		search = search[1:]
		waiting, err := t.olderIn(next.line)
		if err != nil {
			return nil, err
		}
		for _, who := range waiting {
			by := append([]Holder{who}, next.by...)
			if slices.Contains(who.Holds, t.name) {
				return by, nil
			}
			for _, line := range who.Holds {
				if !slices.Contains(seen, line) {
					seen = append(seen, line)
					search = append(search, reached{line, by})
				}
			}
		}
	}
	return nil, nil
}

// olderIn are those in another line who have stood there since before the
// ticket was drawn.
func (t *Ticket) olderIn(name string) ([]Holder, error) {
	line := linePath(filepath.Dir(t.dir), name)
	numbers, err := tickets(line)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking who waits for %s: %w", name, err)
	}
	var older []Holder
	for _, number := range numbers {
		if holder, dead := look(ticketPath(line, number)); !dead && holder.Since.Before(t.me.Since) {
			older = append(older, holder)
		}
	}
	return older, nil
}
