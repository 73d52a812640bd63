package transfer

import (
	"context"
	"io"
	"io/fs"
	"strings"
)

// remoteFiles are the files of a machine as the login user sees them, by SFTP
// or through the shell. Paths that are not absolute begin at the home
// directory.
type remoteFiles interface {
	// stat follows symbolic links. The error for a missing file is fs.ErrNotExist.
	stat(ctx context.Context, path string) (fs.FileMode, error)
	// list returns all entries below a folder, each folder before its entries, with
	// names relative to it. It does not follow symbolic links.
	list(ctx context.Context, dir string) ([]remoteEntry, error)
	// mkdir makes a folder if it is not there.
	mkdir(ctx context.Context, path string) error
	chmod(ctx context.Context, path string, mode fs.FileMode) error
	// symlink replaces what has the name, unless that is a folder.
	symlink(ctx context.Context, target, path string) error
	put(ctx context.Context, from io.Reader, path string, mode fs.FileMode) error
	get(ctx context.Context, path string, to io.Writer) error
	close()
}

type remoteEntry struct {
	name   string // relative, with slashes
	mode   fs.FileMode
	target string // of a symbolic link
}

// cleanRemote makes a path that commands and SFTP take the same way: a leading
// ~/ is where both start, the home directory, and one that begins with '-' is
// no option.
func cleanRemote(p string) string {
	switch {
	case p == "~" || p == "~/":
		return "."
	case strings.HasPrefix(p, "~/"):
		p = strings.TrimLeft(p[2:], "/")
	}
	if strings.HasPrefix(p, "-") {
		return "./" + p
	}
	return p
}
