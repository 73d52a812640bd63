//go:build unix

package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Ticket is a place in a line of processes, in the order of their arrival. It
// is a file that its owner has locked: whoever ends, however it ends, stands in
// the line no longer, and holds up nobody behind.
type Ticket struct {
	dir    string
	name   string // of the line
	me     Holder
	number uint64
	file   *os.File
	leave  func() error
}

// doorPause is how long somebody waits who comes to a line at the same moment
// as another: that one stands in it within less than a millisecond.
const doorPause = time.Millisecond

// doorName is the file that is locked while a ticket is drawn.
const doorName = "door"

// Join takes a place at the end of the line of a name in folder dir. It waits
// for those only who come at the same moment.
func Join(ctx context.Context, dir, name string, me Holder) (*Ticket, error) {
	line := linePath(dir, name)
	if err := makeShared(line); err != nil {
		return nil, fmt.Errorf("making the line for %s: %w", name, err)
	}
	door, err := open(filepath.Join(line, doorName))
	if err != nil {
		return nil, fmt.Errorf("joining the line for %s: %w", name, err)
	}
	defer door.Close()
	for {
		err := syscall.Flock(int(door.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, fmt.Errorf("joining the line for %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("joining the line for %s: %w", name, context.Cause(ctx))
		case <-time.After(doorPause):
		}
	}
	t, err := draw(line, me)
	if err != nil {
		return nil, fmt.Errorf("joining the line for %s: %w", name, err)
	}
	t.name, t.me = name, me
	return t, nil
}

func linePath(dir, name string) string {
	return filepath.Join(dir, unfit.ReplaceAllString(name, "_")+".line")
}

// RemoveLine takes the line of a name away in which nobody will stand any more.
func RemoveLine(dir, name string) error { return os.RemoveAll(linePath(dir, name)) }

// draw makes the next ticket. Nobody else does meanwhile, and so the tickets of
// the dead can go, too: their numbers come back to nobody who stands behind.
func draw(line string, me Holder) (*Ticket, error) {
	numbers, err := tickets(line)
	if err != nil {
		return nil, err
	}
	var last uint64
	for _, number := range numbers {
		last = max(last, number)
		if _, dead := look(ticketPath(line, number)); dead {
			_ = os.Remove(ticketPath(line, number)) // another user's is that user's to take away
		}
	}
	t := &Ticket{dir: line, number: last + 1}
	t.leave = sync.OnceValue(t.remove)
	if t.file, err = open(ticketPath(line, t.number)); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(t.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.file.Close()
		return nil, fmt.Errorf("locking %s: %w", t.file.Name(), err)
	}
	if err := (&Lock{t.file}).write(me); err != nil {
		_ = t.Leave()
		return nil, err
	}
	return t, nil
}

// Ahead are those who stand in the line before the ticket, the first one first.
func (t *Ticket) Ahead() ([]Holder, error) {
	numbers, err := tickets(t.dir)
	if err != nil {
		return nil, fmt.Errorf("looking who is ahead: %w", err)
	}
	var ahead []Holder
	for _, number := range numbers {
		if number >= t.number {
			break
		}
		if holder, dead := look(ticketPath(t.dir, number)); !dead {
			ahead = append(ahead, holder)
		}
	}
	return ahead, nil
}

// Await waits until ready says yes, and asks it again and again with those who
// are ahead of the ticket. Its error is ready's, or the context's cause.
func (t *Ticket) Await(ctx context.Context, ready func(ahead []Holder) (bool, error)) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		ahead, err := t.Ahead()
		if err != nil {
			return err
		}
		if yes, err := ready(ahead); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// Leave gives the place up. It may be called again.
func (t *Ticket) Leave() error { return t.leave() }

// remove takes the file away while it is locked: its number may be somebody
// else's as soon as it is not.
func (t *Ticket) remove() error {
	err := os.Remove(t.file.Name())
	if err := errors.Join(err, t.file.Close()); err != nil {
		return fmt.Errorf("leaving the line: %w", err)
	}
	return nil
}

// look answers with who has a ticket, and whether its owner is dead or gone.
func look(path string) (who Holder, dead bool) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return Holder{}, errors.Is(err, os.ErrNotExist)
	}
	defer file.Close()
	// A lock to share: two who look at a dead one's at the same time do not
	// take each other for its owner.
	if syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return Holder{}, true
	}
	return read(file), false
}

const ticketFormat = "%012d.ticket"

var ticketName = regexp.MustCompile(`^(\d{12,})\.ticket$`)

func ticketPath(line string, number uint64) string {
	return filepath.Join(line, fmt.Sprintf(ticketFormat, number))
}

// tickets are the numbers of all tickets of a line, in their order.
func tickets(line string) ([]uint64, error) {
	entries, err := os.ReadDir(line)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, entry := range entries {
		if part := ticketName.FindStringSubmatch(entry.Name()); part != nil {
			if number, err := strconv.ParseUint(part[1], 10, 64); err == nil {
				numbers = append(numbers, number)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
