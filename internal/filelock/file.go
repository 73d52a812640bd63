//go:build unix

package filelock

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// LockFile locks a file, which it creates with mode 0600. It returns nil if another
// process has the lock. Closing the file unlocks it.
func LockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	locked, err := tryLock(file, syscall.LOCK_EX)
	if locked {
		return file, nil
	}
	_ = file.Close()
	if err != nil {
		err = &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	return nil, err
}

// IsFileLocked reports whether a process has locked a file by [LockFile].
func IsFileLocked(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	locked, err := tryLock(file, syscall.LOCK_SH)
	return !locked && err == nil
}

// tryLock locks a file, shared (LOCK_SH) or exclusive (LOCK_EX), unless that
// would have to wait. Closing the file unlocks it.
func tryLock(file *os.File, how int) (bool, error) {
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		}
		return err == nil, err
	}
}
