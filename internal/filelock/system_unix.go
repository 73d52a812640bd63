//go:build unix

package filelock

import (
	"errors"
	"os"
	"syscall"
)

// errLocked is the error of flock if another process has a lock that excludes the
// requested one.
const errLocked = syscall.EWOULDBLOCK

// checkSupported returns an error if this system has no locks between processes.
func checkSupported() error { return nil }

// openAtOnce are the flags with which opening a file neither waits, as for a FIFO, nor
// follows a symbolic link.
const openAtOnce = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// flock locks a file without waiting.
func flock(file *os.File, kind lockKind) error {
	how := syscall.LOCK_SH
	if kind == exclusive {
		how = syscall.LOCK_EX
	}
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// ownerOf returns the user that a file belongs to.
func ownerOf(info os.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
