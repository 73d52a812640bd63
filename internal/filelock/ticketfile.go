package filelock

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// fileMode lets every user read and lock a file, and only its owner write to it.
const fileMode = 0o644

// unfinished is the end of the name of a file before it is complete. A ticket's
// is locked then, too.
const unfinished = ".new"

var ticketPattern = regexp.MustCompile(`^(\d{12,})\.ticket$`)

func ticketName(number uint64) string { return fmt.Sprintf("%012d.ticket", number) }

// ticketNumbers returns the numbers of all tickets in a queue, in ascending
// order.
func (q queueFolder) ticketNumbers() ([]uint64, error) {
	entries, err := fs.ReadDir(q.FS(), ".")
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, entry := range entries {
		if part := ticketPattern.FindStringSubmatch(entry.Name()); part != nil {
			if number, err := strconv.ParseUint(part[1], 10, 64); err == nil {
				numbers = append(numbers, number)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// createTicket creates a ticket and returns its file, which is locked. The file
// gets its name only when it is locked and complete: until then a reader could
// take it for the ticket of a process that has ended, and the reader's own lock
// could make the owner's fail. The caller holds the queue's lock.
func (q queueFolder) createTicket(number uint64, holder Holder) (*os.File, error) {
	file, name, err := createUnfinished(q.Root, fileMode)
	if err != nil {
		return nil, err
	}
	if err = fill(file, holder); err == nil {
		err = q.Rename(name, ticketName(number))
	}
	if err != nil {
		return nil, errors.Join(err, q.Remove(name), file.Close())
	}
	return file, nil
}

// createUnfinished creates a file in a folder under a name of its own.
func createUnfinished(folder *os.Root, mode os.FileMode) (file *os.File, name string, err error) {
	name = rand.Text() + unfinished
	file, err = folder.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, "", err
	}
	if err := file.Chmod(mode); err != nil { // OpenFile applies the umask
		return nil, "", errors.Join(err, folder.Remove(name), file.Close())
	}
	return file, name, nil
}

// fill locks a new ticket's file and writes its content.
func fill(file *os.File, holder Holder) error {
	if err := flock(file, exclusive); err != nil {
		return fmt.Errorf("locking %s: %w", file.Name(), err)
	}
	return json.NewEncoder(file).Encode(holder)
}

// removeUnfinished removes the files of processes that ended while they
// created a ticket. The caller holds the queue's lock, so no other process
// creates one.
func (q queueFolder) removeUnfinished() error {
	names, err := fs.Glob(q.FS(), "*"+unfinished)
	for _, name := range names {
		_ = q.Remove(name) // fails for another user's, which does no harm
	}
	return err
}

// ticketLimit is how much of a ticket is read, in bytes.
const ticketLimit = 1 << 16

// readTicket returns the owner of a ticket, and whether that process still has
// it. A ticket that cannot be read belongs to an unknown process that has it.
func (q queueFolder) readTicket(number uint64) (holder Holder, live bool) {
	file, err := openRegular(q.Root, ticketName(number))
	if err != nil {
		return Holder{}, !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errNotRegular)
	}
	defer file.Close()
	// A shared lock: two readers do not take each other for the owner.
	if locked, err := tryLock(file, shared); err == nil && locked {
		return Holder{}, false
	}
	content, err := io.ReadAll(io.LimitReader(file, ticketLimit))
	if err == nil {
		holder = parseTicket(content)
	}
	return holder, true
}

// parseTicket reads the content of a ticket. It is the zero Holder, an unknown
// process, if it cannot be read.
func parseTicket(content []byte) Holder {
	var holder Holder
	if json.Unmarshal(content, &holder) != nil {
		return Holder{}
	}
	return holder
}

var errNotRegular = errors.New("not a regular file: remove it")

// openRegular opens a file for reading, which is enough to lock it. Opening
// never waits, as it would for a FIFO, and follows no symbolic link.
func openRegular(folder *os.Root, name string) (*os.File, error) {
	path := filepath.Join(folder.Name(), name)
	found, err := folder.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !found.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, errNotRegular)
	}
	file, err := folder.OpenFile(name, os.O_RDONLY|openAtOnce, 0)
	if err != nil {
		return nil, err
	}
	// The file may have been exchanged since, also for another ticket.
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errNotRegular)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// openOrCreate opens a file for locking, and creates it if needed. It opens
// before it creates: in a folder that is shared, the kernel may refuse to open
// another user's file with O_CREAT.
func (q queueFolder) openOrCreate(name string) (*os.File, error) {
	for {
		file, err := openRegular(q.Root, name)
		if !errors.Is(err, os.ErrNotExist) {
			return file, err
		}
		file, err = q.OpenFile(name, os.O_RDONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if errors.Is(err, os.ErrExist) {
			continue // another process created it meanwhile
		}
		if err != nil {
			return nil, err
		}
		if err := file.Chmod(fileMode); err != nil { // OpenFile applies the umask
			file.Close()
			return nil, err
		}
		return file, nil
	}
}
