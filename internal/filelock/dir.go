//go:build unix

package filelock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// sharedMode is the mode of a folder in which every user may create files, and
// delete only their own.
const sharedMode = os.ModeSticky | 0o777

// Dir returns the folder of the machine's queues and creates it if needed. It is
// the same for all users and independent of TMPDIR: /run/lock/overcast where
// every user may write to /run/lock, and /tmp/overcast otherwise.
func Dir() (string, error) {
	parent := "/tmp"
	if info, err := os.Stat("/run/lock"); err == nil && info.Mode()&sharedMode == sharedMode {
		parent = "/run/lock"
	}
	dir := filepath.Join(parent, "overcast")
	if err := makeShared(dir); err != nil {
		return "", fmt.Errorf("creating the folder of locks: %w", err)
	}
	return dir, nil
}

// makeShared creates a folder with sharedMode. An existing folder is left as it
// is.
func makeShared(dir string) error {
	err := os.Mkdir(dir, 0o777)
	if err == nil {
		err = os.Chmod(dir, sharedMode) // Mkdir applies the umask
	}
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

var unsafeInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// queuePath returns the folder of the queue of a name.
func queuePath(dir, name string) string {
	return filepath.Join(dir, unsafeInNames.ReplaceAllString(name, "_")+".queue")
}

// RemoveQueue removes the queue of a name that no process will join again.
func RemoveQueue(dir, name string) error { return os.RemoveAll(queuePath(dir, name)) }
