package filelock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// announced is the end of the name of a file that a process keeps locked.
const announced = ".announced"

// Announce creates a file of a unique name in folder dir and keeps it locked until the
// file is closed or the process ends. The file stays: [IsAnnounced] reports whether
// the process has ended.
func Announce(dir, name string) (*os.File, error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("announcing %s: %w", name, err)
	}
	defer folder.Close()
	file, unfinished, err := createUnfinished(folder, fileMode)
	if err != nil {
		return nil, fmt.Errorf("announcing %s: %w", name, err)
	}
	if err = flock(file, exclusive); err == nil {
		err = folder.Rename(unfinished, announcedName(name))
	}
	if err != nil {
		return nil, fmt.Errorf("announcing %s: %w", name, errors.Join(err, folder.Remove(unfinished), file.Close()))
	}
	return file, nil
}

func announcedName(name string) string { return unsafeInNames.ReplaceAllString(name, "_") + announced }

// IsAnnounced reports whether the process that announced a name still runs. known is
// false if no process of this machine has announced it.
func IsAnnounced(dir, name string) (runs, known bool) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return false, false
	}
	defer folder.Close()
	file, err := openRegular(folder, announcedName(name))
	if err != nil {
		return false, false
	}
	defer file.Close()
	locked, err := tryLock(file, shared)
	return !locked, err == nil
}

// RemoveAnnounced removes the files of the caller's processes that ended, if they were
// announced longer ago than a limit.
func RemoveAnnounced(dir string, age time.Duration) error {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	names, err := fs.Glob(folder.FS(), "*"+announced)
	for _, name := range names {
		info, err := folder.Lstat(name)
		if err != nil || time.Since(info.ModTime()) < age {
			continue
		}
		if runs, known := IsAnnounced(dir, strings.TrimSuffix(name, announced)); known && !runs {
			_ = folder.Remove(name) // fails for another user's
		}
	}
	return err
}
