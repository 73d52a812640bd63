package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// download copies to local; name is what a file is called in a folder.
func download(ctx context.Context, f remoteFiles, remote, local, name string) error {
	mode, err := f.stat(ctx, remote)
	if err != nil {
		return fmt.Errorf("%s: %w", remote, err)
	}
	if mode.IsDir() {
		return downloadFolder(ctx, f, remote, local, mode)
	}
	if info, err := os.Stat(local); err == nil && info.IsDir() || strings.HasSuffix(local, "/") {
		local = filepath.Join(local, name)
	}
	root, err := os.OpenRoot(filepath.Dir(local))
	if err != nil {
		return err
	}
	defer root.Close()
	return downloadFile(ctx, f, remote, root, filepath.Base(local), mode)
}

// downloadFile writes beside the name and renames when all is there.
func downloadFile(ctx context.Context, f remoteFiles, remote string, root *os.Root, name string, mode fs.FileMode) (err error) {
	if !mode.IsRegular() {
		return fmt.Errorf("%s is neither a file nor a folder", remote)
	}
	part := filepath.Join(filepath.Dir(name), ".overcast-"+rand.Text())
	file, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
			root.Remove(part)
		}
	}()
	if err := f.get(ctx, remote, file); err != nil {
		return fmt.Errorf("reading %s: %w", remote, err)
	}
	if err := file.Chmod(mode.Perm()); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return root.Rename(part, name)
}

// downloadFolder never writes outside the local folder, whatever names and
// links the machine tells. Modes of folders come last, as one may be
// read-only.
func downloadFolder(ctx context.Context, f remoteFiles, remote, local string, mode fs.FileMode) error {
	entries, err := f.list(ctx, remote)
	if err != nil {
		return fmt.Errorf("listing %s: %w", remote, err)
	}
	if err := os.Mkdir(local, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	root, err := os.OpenRoot(local)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, e := range entries {
		if err := downloadEntry(ctx, f, remote, root, e); err != nil {
			return err
		}
	}
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].mode.IsDir() {
			if err := root.Chmod(filepath.FromSlash(entries[i].name), entries[i].mode.Perm()); err != nil {
				return err
			}
		}
	}
	return root.Chmod(".", mode.Perm())
}

func downloadEntry(ctx context.Context, f remoteFiles, remote string, root *os.Root, e remoteEntry) error {
	name := filepath.FromSlash(e.name)
	switch {
	case e.mode.IsDir():
		if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case e.mode&fs.ModeSymlink != 0:
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return root.Symlink(e.target, name)
	}
	return downloadFile(ctx, f, path.Join(remote, e.name), root, name, e.mode)
}
