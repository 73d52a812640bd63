package filelock

import (
	"errors"
	"io/fs"
	"os"
)

// LockFile locks a file, which it creates with mode 0600. It returns nil if another
// process has the lock. Closing the file unlocks it.
func LockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	locked, err := tryLock(file, exclusive)
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
	locked, err := tryLock(file, shared)
	return !locked && err == nil
}

// lockKind is how a file is locked.
type lockKind bool

const (
	shared    lockKind = false
	exclusive lockKind = true
)

// tryLock locks a file. It returns false if another process has a lock that excludes
// this one. Closing the file unlocks it.
func tryLock(file *os.File, kind lockKind) (bool, error) {
	err := flock(file, kind)
	if errors.Is(err, errLocked) {
		return false, nil
	}
	return err == nil, err
}
