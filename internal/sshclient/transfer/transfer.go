// Package transfer copies files and folders to and from a machine: by SFTP, or
// through the shell where the machine has no SFTP.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// Upload copies a file or a folder to the machine. remote is the name of the
// copy; a file goes into a folder that has this name already, or when remote
// ends with a slash, and a folder is merged with it. The folder above has to
// exist. Permissions are kept, symbolic links within a folder stay links.
//
// By sudo and su it is copied to a temporary folder first, and from there by
// the user that the connection type becomes.
func Upload(ctx context.Context, c *sshclient.Client, local, remote string) error {
	err := withFiles(ctx, c, func(f remoteFiles) error {
		if c.Target().ConnectionType.Elevates() {
			return uploadElevated(ctx, c, f, local, remote)
		}
		return upload(ctx, f, local, remote, 0)
	})
	if err != nil {
		return &sshclient.OperationError{Op: fmt.Sprintf("uploading %s to %s on %s", local, remote, c), Err: err}
	}
	return nil
}

// Download copies a file or a folder from the machine, by the rules of Upload
// the other way round. A file appears under its name when it is complete. What
// is neither file, folder nor link is an error. By sudo and su to a user other
// than root, all users can read the copies, whatever the modes of the originals.
//
// The machine is not trusted: nothing is written outside local, a download with more
// than 64 GiB in its files fails, and so does a list of files with more than 64 MiB.
func Download(ctx context.Context, c *sshclient.Client, remote, local string) error {
	err := withFiles(ctx, c, func(files remoteFiles) error {
		f := &limitedFiles{remoteFiles: files, limit: maxDownload}
		if c.Target().ConnectionType.Elevates() {
			return downloadElevated(ctx, c, f, remote, local)
		}
		return download(ctx, f, remote, local, path.Base(cleanRemote(remote)))
	})
	if err != nil {
		return &sshclient.OperationError{Op: fmt.Sprintf("downloading %s on %s to %s", remote, c, local), Err: err}
	}
	return nil
}

// withFiles uses SFTP if the machine has it, and else the shell, unless the
// URL insists on SFTP.
func withFiles(ctx context.Context, c *sshclient.Client, use func(remoteFiles) error) error {
	var files remoteFiles = shellFiles{c}
	switch f, err := openSFTP(ctx, c); {
	case err == nil:
		files = f
	case !errors.Is(err, sshclient.ErrNoSubsystem):
		return err
	case c.Target().ConnectionType == sshurl.SFTP:
		return fmt.Errorf("%w: use connectionType=SCP, which does not need it", err)
	}
	defer files.close()
	return use(files)
}

// upload copies with the bits of widen added to every mode.
func upload(ctx context.Context, f remoteFiles, local, remote string, widen fs.FileMode) error {
	info, err := os.Stat(local)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return uploadFolder(ctx, f, local, remote, widen)
	}
	into, err := isFolder(ctx, f, remote)
	if err != nil {
		return err
	}
	if into {
		remote = path.Join(remote, filepath.Base(local))
	}
	return uploadFile(ctx, f, local, remote, info.Mode(), widen)
}

// isFolder reports whether a file is to go into what has this name.
func isFolder(ctx context.Context, f remoteFiles, remote string) (bool, error) {
	mode, err := f.stat(ctx, remote)
	switch {
	case err == nil:
		return mode.IsDir(), nil
	case errors.Is(err, fs.ErrNotExist):
		return strings.HasSuffix(remote, "/"), nil
	}
	return false, err
}

func uploadFile(ctx context.Context, f remoteFiles, local, remote string, mode, widen fs.FileMode) error {
	if !mode.IsRegular() {
		return fmt.Errorf("%s is neither a file nor a folder", local)
	}
	file, err := os.Open(local)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := f.put(ctx, file, remote, mode|widen&0o444); err != nil {
		return fmt.Errorf("writing %s: %w", remote, err)
	}
	return nil
}

// uploadFolder sets the modes of folders last, as one may be read-only.
func uploadFolder(ctx context.Context, f remoteFiles, local, remote string, widen fs.FileMode) error {
	type folder struct {
		path string
		mode fs.FileMode
	}
	var folders []folder
	local, err := filepath.EvalSymlinks(local) // the folder itself may be named by a link
	if err != nil {
		return err
	}
	err = filepath.WalkDir(local, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(local, name)
		if err != nil {
			return err
		}
		to := path.Join(remote, filepath.ToSlash(relative))
		info, err := os.Lstat(name)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			folders = append(folders, folder{to, info.Mode() | widen})
			if err := f.mkdir(ctx, to); err != nil {
				return fmt.Errorf("making the folder %s: %w", to, err)
			}
			return nil
		case info.Mode()&fs.ModeSymlink != 0:
			return uploadLink(ctx, f, name, to)
		}
		return uploadFile(ctx, f, name, to, info.Mode(), widen)
	})
	for i := len(folders) - 1; i >= 0 && err == nil; i-- {
		err = f.chmod(ctx, folders[i].path, folders[i].mode)
	}
	return err
}

func uploadLink(ctx context.Context, f remoteFiles, local, remote string) error {
	target, err := os.Readlink(local)
	if err != nil {
		return err
	}
	if err := f.symlink(ctx, target, remote); err != nil {
		return fmt.Errorf("making the symbolic link %s: %w", remote, err)
	}
	return nil
}
