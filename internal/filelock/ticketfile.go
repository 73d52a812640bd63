//go:build unix

package filelock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
)

// fileMode lets every user read and lock a file, and only its owner write to it.
const fileMode = 0o644

// unfinished is the name of a ticket's file before it is locked and complete, as
// a pattern of [os.CreateTemp] and of [filepath.Glob].
const unfinished = "*.new"

var ticketName = regexp.MustCompile(`^(\d{12,})\.ticket$`)

func ticketPath(queue string, number uint64) string {
	return filepath.Join(queue, fmt.Sprintf("%012d.ticket", number))
}

// ticketNumbers returns the numbers of all tickets in a queue, in ascending
// order.
func ticketNumbers(queue string) ([]uint64, error) {
	entries, err := os.ReadDir(queue)
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

// createTicket creates a ticket and returns its file, which is locked. The file
// gets its name only when it is locked and complete: until then a reader could
// take it for the ticket of a process that has ended, and the reader's own lock
// could make the owner's fail. The caller holds the queue's lock.
func createTicket(queue string, number uint64, holder Holder) (*os.File, error) {
	file, err := os.CreateTemp(queue, unfinished)
	if err != nil {
		return nil, err
	}
	if err = fill(file, holder); err == nil {
		err = os.Rename(file.Name(), ticketPath(queue, number))
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(file.Name()), file.Close())
	}
	return file, nil
}

// fill locks a new ticket's file and writes its content.
func fill(file *os.File, holder Holder) error {
	if err := file.Chmod(fileMode); err != nil { // CreateTemp lets no other user read it
		return err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("locking %s: %w", file.Name(), err)
	}
	return json.NewEncoder(file).Encode(holder)
}

// removeUnfinished removes the files of processes that ended while they
// created a ticket. The caller holds the queue's lock, so no other process
// creates one.
func removeUnfinished(queue string) error {
	paths, err := filepath.Glob(filepath.Join(queue, unfinished))
	for _, path := range paths {
		_ = os.Remove(path) // fails for another user's, which does no harm
	}
	return err
}

// readTicket returns the owner of a ticket, and whether that process still has
// it. A ticket that cannot be read belongs to an unknown process that has it.
func readTicket(path string) (holder Holder, live bool) {
	file, err := openRegular(path)
	if err != nil {
		return Holder{}, !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errNotRegular)
	}
	defer file.Close()
	// A shared lock: two readers do not take each other for the owner.
	if locked, err := tryLock(file, syscall.LOCK_SH); err == nil && locked {
		return Holder{}, false
	}
	content, err := io.ReadAll(io.LimitReader(file, 1<<16))
	if err == nil {
		_ = json.Unmarshal(content, &holder) // otherwise the process is unknown
	}
	return holder, true
}

// tryLock locks a file, shared (LOCK_SH) or exclusive (LOCK_EX), unless that
// would have to wait. Closing the file unlocks it.
func tryLock(file *os.File, how int) (bool, error) {
	err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}

var errNotRegular = errors.New("not a regular file: remove it")

// openRegular opens a file for reading, which is enough to lock it. Opening
// never waits, as it would for a FIFO, and follows no symbolic link.
func openRegular(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s: %w", path, errNotRegular)
	}
	if err != nil {
		return nil, err
	}
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
func openOrCreate(path string) (*os.File, error) {
	for {
		file, err := openRegular(path)
		if !errors.Is(err, os.ErrNotExist) {
			return file, err
		}
		file, err = os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, fileMode)
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
