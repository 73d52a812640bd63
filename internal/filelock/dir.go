package filelock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
)

// sharedMode is the mode of a folder in which every user may create files, and
// delete only their own.
const sharedMode = os.ModeSticky | 0o777

// Dir returns the folder of the machine's queues and creates it if needed. It is
// the same for all users and independent of TMPDIR: /run/lock/overcast where
// every user may write to /run/lock, and /tmp/overcast otherwise.
//
// A folder that another user could exchange or fill with links is not used: one
// that is a link, belongs to a user other than root and the caller, or is not
// shared. Dir then returns a folder that only the caller may use, and prints the
// reason to standard error once: the caller does not wait for other users then.
func Dir() (string, error) {
	if err := checkSupported(); err != nil {
		return "", err
	}
	parent := "/tmp"
	if info, err := os.Stat("/run/lock"); err == nil && info.Mode()&sharedMode == sharedMode {
		parent = "/run/lock"
	}
	dir, reason, err := dirIn(parent)
	if err != nil {
		return "", fmt.Errorf("creating the folder of locks: %w", err)
	}
	if reason != nil {
		warnOnce.Do(func() {
			fmt.Fprintf(os.Stderr, "overcast: not sharing locks with other users: %v: using %s (as root: rm -r %[3]s; install -d -m 1777 %[3]s)\n",
				reason, dir, filepath.Join(parent, sharedName))
		})
	}
	return dir, nil
}

var warnOnce sync.Once

// sharedName is the name of the shared folder.
const sharedName = "overcast"

// dirIn returns the shared folder in parent or, with the reason, the caller's own.
func dirIn(parent string) (dir string, reason, err error) {
	dir = filepath.Join(parent, sharedName)
	reason = checkShared(dir)
	if reason == nil {
		return dir, nil, nil
	}
	dir = fmt.Sprintf("%s-%d", dir, os.Geteuid())
	return dir, reason, checkPrivate(dir)
}

// checkShared creates a folder with sharedMode if it does not exist, and returns
// an error if it cannot be trusted.
func checkShared(dir string) error {
	err := os.Mkdir(dir, 0o777)
	if err == nil {
		return os.Chmod(dir, sharedMode) // Mkdir applies the umask
	}
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	info, owner, err := statFolder(dir)
	switch {
	case err != nil:
		return err
	case owner != 0 && owner != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d", dir, owner)
	case info.Mode()&sharedMode == sharedMode:
		return nil
	case owner == os.Geteuid() && info.Mode().Perm()&0o022 == 0:
		// Another process of this user has just created it, or only this user
		// could write to it.
		return os.Chmod(dir, sharedMode)
	}
	return fmt.Errorf("%s has mode %v, not %v", dir, info.Mode(), os.ModeDir|sharedMode)
}

// checkPrivate creates a folder for the caller alone if it does not exist, and
// returns an error if another user can write to it.
func checkPrivate(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil || !errors.Is(err, os.ErrExist) {
		return err
	}
	info, owner, err := statFolder(dir)
	if err == nil && (owner != os.Geteuid() || info.Mode().Perm()&0o022 != 0) {
		err = fmt.Errorf("%s belongs to user %d with mode %v: remove it", dir, owner, info.Mode())
	}
	return err
}

// statFolder describes a folder and its owner. A link to one is an error.
func statFolder(dir string) (info os.FileInfo, owner int, err error) {
	info, err = os.Lstat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s: %w", dir, errNotFolder)
	}
	if err != nil {
		return nil, 0, err
	}
	return info, ownerOf(info), nil
}

var errNotFolder = errors.New("not a folder: remove it")

var unsafeInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// queueName returns the name of the folder of a queue.
func queueName(name string) string { return unsafeInNames.ReplaceAllString(name, "_") + ".queue" }

// queueFolder is the folder of a queue. Files in it are opened relative to its
// descriptor: if another user replaces the folder by a link, or puts links into it,
// the caller does not open files elsewhere.
type queueFolder struct{ *os.Root }

// openQueue opens the folder of a queue.
func openQueue(dir, name string) (queueFolder, error) {
	parent, err := os.OpenRoot(dir)
	if err != nil {
		return queueFolder{}, err
	}
	defer parent.Close()
	return openFolder(parent, queueName(name))
}

// openOrCreateQueue opens the folder of a queue, and creates it if needed.
func openOrCreateQueue(dir, name string) (queueFolder, error) {
	parent, err := os.OpenRoot(dir)
	if err != nil {
		return queueFolder{}, err
	}
	defer parent.Close()
	folder := queueName(name)
	err = parent.Mkdir(folder, 0o777)
	if err == nil {
		err = parent.Chmod(folder, sharedMode) // Mkdir applies the umask
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return queueFolder{}, err
	}
	return openFolder(parent, folder)
}

// openFolder opens a folder in another one. A link is an error.
func openFolder(parent *os.Root, name string) (queueFolder, error) {
	path := filepath.Join(parent.Name(), name)
	found, err := parent.Lstat(name)
	if err != nil {
		return queueFolder{}, err
	}
	if !found.IsDir() {
		return queueFolder{}, fmt.Errorf("%s: %w", path, errNotFolder)
	}
	folder, err := parent.OpenRoot(name)
	if err != nil {
		return queueFolder{}, err
	}
	if opened, err := folder.Stat("."); err != nil || !os.SameFile(found, opened) {
		folder.Close()
		return queueFolder{}, fmt.Errorf("%s: it was replaced meanwhile: %w", path, errNotFolder)
	}
	return queueFolder{folder}, nil
}

// RemoveQueue removes the queue of a name that no process will join again.
func RemoveQueue(dir, name string) error { return os.RemoveAll(filepath.Join(dir, queueName(name))) }
