//go:build unix

// Package lock lets one process at a time use a thing that there is once on a
// machine, whoever runs the processes.
//
// A [Lock] is a lock of the kernel's on a file, which the kernel frees when
// its holder ends, however it ends. The file says who holds it, so that
// whoever has to wait can be told. It stays when the lock is free: taking it
// away would let two processes lock two files of one name.
package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// Holder tells people who holds a lock.
type Holder struct {
	PID   int       `json:"pid"`
	Label string    `json:"label"` // of the host
	Run   string    `json:"run"`   // what the process is, for people
	Since time.Time `json:"since"`
	Needs uint64    `json:"needs,omitempty"` // in a line for something to be shared out: how much of it
	Holds []string  `json:"holds,omitempty"` // names of the lines that it is the first of, and does not leave while it waits
}

// String is as in "static_host of process 4711 (itest.test in /src/itest)".
func (h Holder) String() string {
	if h.PID == 0 {
		return "a process that does not tell who it is"
	}
	return fmt.Sprintf("%s of process %d (%s)", h.Label, h.PID, h.Run)
}

// BusyError says that somebody else held a lock until the wait was over.
type BusyError struct {
	Name   string
	Holder Holder
	Waited time.Duration
	Cause  error // why the wait ended: a context's cause
}

// Error names the lock, its holder, how long it was waited for, and what to do.
func (e *BusyError) Error() string {
	return fmt.Sprintf("%s is held by %s, since %s; waited %v: %v: wait longer, or end that process", e.Name, e.Holder, e.Holder.Since.Local().Format(time.DateTime), e.Waited.Round(10*time.Millisecond), e.Cause)
}

// Unwrap gives the cause.
func (e *BusyError) Unwrap() error { return e.Cause }

// Lock is one that is held.
type Lock struct{ file *os.File }

// How often a lock that somebody else holds is tried.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// Acquire waits in folder dir for the lock of a name until ctx ends; the
// error is a *[BusyError] then. It tries at least once. While somebody else holds
// the lock, waiting, which may be nil, is told who: once, and again when it is
// somebody else.
func Acquire(ctx context.Context, dir, name string, me Holder, waiting func(Holder)) (*Lock, error) {
	start := time.Now()
	file, err := open(filepath.Join(dir, fileName(name)))
	if err != nil {
		return nil, fmt.Errorf("opening the lock of %s: %w", name, err)
	}
	told := ""
	pause := firstPause
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			l := &Lock{file}
			if err := l.write(me); err != nil {
				file.Close()
				return nil, fmt.Errorf("writing down who holds the lock of %s: %w", name, err)
			}
			return l, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
		}
		holder := read(file)
		if waiting != nil && holder.String() != told && holder.PID != 0 {
			waiting(holder)
			told = holder.String()
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, &BusyError{Name: name, Holder: holder, Waited: time.Since(start), Cause: context.Cause(ctx)}
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		}
	}
}

// Release frees the lock. It may be called again.
func (l *Lock) Release() error {
	if err := l.file.Truncate(0); err != nil && !errors.Is(err, os.ErrClosed) {
		l.file.Close()
		return fmt.Errorf("freeing the lock %s: %w", l.file.Name(), err)
	}
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("freeing the lock %s: %w", l.file.Name(), err)
	}
	return nil
}

// Dir is the folder of the machine's locks, the same for all its users: where
// the system has one for that purpose, and else the folder for temporary
// files, whatever TMPDIR says.
func Dir() (string, error) {
	parent := "/tmp"
	if info, err := os.Stat("/run/lock"); err == nil && info.Mode()&anybodys == anybodys {
		parent = "/run/lock"
	}
	dir := filepath.Join(parent, "overcast")
	if err := makeShared(dir); err != nil {
		return "", fmt.Errorf("making the folder of locks: %w", err)
	}
	return dir, nil
}

// anybodys is the mode of a folder that everybody may write to.
const anybodys = os.ModeSticky | 0o777

// makeShared makes a folder for everybody if it is not there.
func makeShared(dir string) error {
	err := os.Mkdir(dir, 0o777)
	if err == nil {
		err = os.Chmod(dir, anybodys) // Mkdir heeds the umask
	}
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// open makes the file if it is not there, for everybody to lock. Where a
// folder is everybody's, the kernel may refuse to open another user's file
// with the flag that makes one.
func open(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if !errors.Is(err, os.ErrNotExist) {
			return file, err
		}
		file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o666)
		if errors.Is(err, os.ErrExist) {
			continue // somebody was faster
		}
		if err != nil {
			return nil, err
		}
		if err := file.Chmod(0o666); err != nil {
			file.Close()
			return nil, err
		}
		return file, nil
	}
}

var unfit = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func fileName(name string) string { return unfit.ReplaceAllString(name, "_") + ".lock" }

func (l *Lock) write(me Holder) error {
	text, err := json.Marshal(me)
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err = l.file.WriteAt(append(text, '\n'), 0)
	return err
}

// read answers with who holds the lock, as far as the file tells: it is empty
// for a moment after the lock was taken.
func read(file *os.File) Holder {
	var holder Holder
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<16))
	if err == nil {
		_ = json.Unmarshal(text, &holder) // what cannot be read tells nothing
	}
	return holder
}
