//go:build unix

package trace

import (
	"errors"
	"os"
	"syscall"
)

// openAtOnce is the flag with which opening a FIFO does not wait.
const openAtOnce = syscall.O_NONBLOCK

// lock locks a file against other processes, which hold the lock for one write.
func lock(file *os.File) (unlock func(), err error) {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return nil, &os.PathError{Op: "lock", Path: file.Name(), Err: err}
		}
		return func() { _ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN) }, nil
	}
}
