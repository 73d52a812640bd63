package transfer

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/pkg/sftp"
)

// sftpFiles are remote files by SFTP.
type sftpFiles struct {
	c         *sshclient.Client
	subsystem *sshclient.Subsystem
	sftp      *sftp.Client
	received  *meteredReader
	listLimit int64 // limits a list: the bytes that the server sends, and the names in it
}

func openSFTP(ctx context.Context, c *sshclient.Client) (_ *sftpFiles, err error) {
	f := &sftpFiles{c: c, listLimit: maxListing}
	f.subsystem, err = c.OpenSubsystem(ctx, "sftp", func(in io.WriteCloser, out io.Reader) (err error) {
		f.received = &meteredReader{Reader: out}
		f.sftp, err = sftp.NewClientPipe(f.received, in, sftp.UseConcurrentWrites(true))
		return err
	})
	return f, err
}

// call runs one step. The end of ctx ends the whole SFTP session.
func (f *sftpFiles) call(ctx context.Context, step func() error) error {
	return f.subsystem.Do(ctx, step)
}

func (f *sftpFiles) close() { f.subsystem.Close(func() { f.sftp.Close() }) }

func (f *sftpFiles) stat(ctx context.Context, name string) (mode fs.FileMode, err error) {
	var info fs.FileInfo
	err = f.call(ctx, func() (err error) { info, err = f.sftp.Stat(cleanRemote(name)); return err })
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

// list fails with a *limitError for a list that is too long, and ends the session.
func (f *sftpFiles) list(ctx context.Context, dir string) (entries []remoteEntry, err error) {
	l := &sftpList{sftp: f.sftp, root: cleanRemote(dir), limit: f.listLimit}
	err = f.call(ctx, func() error {
		f.received.start(f.listLimit)
		defer f.received.stop()
		return l.walk("")
	})
	if f.received.exceeded.Load() {
		err = l.tooLong()
	}
	if err != nil {
		return nil, err
	}
	return l.entries, nil
}

// sftpList is the list of what is beneath a folder.
type sftpList struct {
	sftp    *sftp.Client
	root    string
	limit   int64 // of the names, in bytes
	names   int64
	entries []remoteEntry
}

func (l *sftpList) tooLong() error { return &limitError{"the list of the folder has", l.limit} }

// walk adds what is in a folder. Names are paths below the root, so that their limit
// also limits the depth.
func (l *sftpList) walk(below string) error {
	infos, err := l.sftp.ReadDir(path.Join(l.root, below))
	if err != nil {
		return err
	}
	for _, info := range infos {
		if n := info.Name(); n == "" || n == "." || n == ".." || strings.Contains(n, "/") {
			return fmt.Errorf("the machine lists a file with the name %q", n)
		}
		e := remoteEntry{name: path.Join(below, info.Name()), mode: info.Mode()}
		if e.mode&fs.ModeSymlink != 0 {
			if e.target, err = l.sftp.ReadLink(path.Join(l.root, e.name)); err != nil {
				return err
			}
		}
		if l.names += int64(len(e.name) + len(e.target)); l.names > l.limit {
			return l.tooLong()
		}
		l.entries = append(l.entries, e)
		if info.IsDir() {
			if err := l.walk(e.name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *sftpFiles) mkdir(ctx context.Context, name string) error {
	path := cleanRemote(name)
	err := f.call(ctx, func() error {
		err := f.sftp.Mkdir(path)
		if info, statErr := f.sftp.Stat(path); statErr == nil && info.IsDir() {
			return nil
		}
		return err
	})
	return f.explain(ctx, name, 0, err)
}

func (f *sftpFiles) chmod(ctx context.Context, name string, mode fs.FileMode) error {
	return f.call(ctx, func() error { return f.sftp.Chmod(cleanRemote(name), mode.Perm()) })
}

func (f *sftpFiles) symlink(ctx context.Context, target, name string) error {
	path := cleanRemote(name)
	err := f.call(ctx, func() error {
		if info, err := f.sftp.Lstat(path); err == nil && !info.IsDir() {
			if err := f.sftp.Remove(path); err != nil {
				return err
			}
		}
		return f.sftp.Symlink(target, path)
	})
	return f.explain(ctx, name, 0, err)
}

// put sets the mode before there is anything to read.
func (f *sftpFiles) put(ctx context.Context, from io.Reader, name string, mode fs.FileMode) error {
	var size int64
	if file, ok := from.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := file.Stat(); err == nil {
			size = info.Size()
		}
	}
	err := f.call(ctx, func() error {
		file, err := f.sftp.Create(cleanRemote(name))
		if err != nil {
			return err
		}
		defer file.Close()
		if err := file.Chmod(mode.Perm()); err != nil {
			return err
		}
		if _, err := file.ReadFrom(from); err != nil {
			return err
		}
		return file.Close()
	})
	return f.explain(ctx, name, size, err)
}

func (f *sftpFiles) get(ctx context.Context, name string, to io.Writer) error {
	return f.call(ctx, func() error {
		file, err := f.sftp.Open(cleanRemote(name))
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = file.WriteTo(to)
		return err
	})
}
