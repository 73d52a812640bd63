//go:build !unix

package filelock

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// errLocked is not returned by flock on this system.
var errLocked = errors.New("locked")

const openAtOnce = 0

// flock is not supported on this system.
func flock(*os.File, lockKind) error { return checkSupported() }

// checkSupported returns an error if this system has no locks between processes.
func checkSupported() error {
	return fmt.Errorf("locks between processes are not supported on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// ownerOf is not supported on this system: it returns no user's number.
func ownerOf(os.FileInfo) int { return -1 }
