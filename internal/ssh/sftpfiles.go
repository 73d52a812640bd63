package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
)

// errNoSFTP means that the machine has no SFTP subsystem.
var errNoSFTP = errors.New("the machine offers no SFTP")

// sftpFiles are remote files by SFTP.
type sftpFiles struct {
	c       *Client
	session *session
	sftp    *sftp.Client
}

func (c *Client) openSFTP(ctx context.Context) (*sftpFiles, error) {
	f := &sftpFiles{c: c}
	handle := newSessionHandle()
	return do(ctx, c, operation[*sftpFiles]{
		work: func() (*sftpFiles, error) {
			defer close(handle.ended)
			return f, f.open(ctx, handle)
		},
		interrupt: handle.close,
		grace:     cancelGrace,
		discard:   (*sftpFiles).close,
	})
}

func (f *sftpFiles) open(ctx context.Context, handle *sessionHandle) (err error) {
	if f.session, err = f.c.sessions.openSession(ctx, false); err != nil {
		return err
	}
	if err = f.start(handle); err != nil {
		f.session.Close()
		f.session.release()
	}
	return f.session.conn.orLost(err)
}

func (f *sftpFiles) start(handle *sessionHandle) error {
	if !handle.set(f.session) {
		return context.Canceled
	}
	in, err := f.session.StdinPipe()
	if err != nil {
		return err
	}
	out, err := f.session.StdoutPipe()
	if err != nil {
		return err
	}
	if err = f.session.RequestSubsystem("sftp"); err == nil {
		f.sftp, err = sftp.NewClientPipe(out, in, sftp.UseConcurrentWrites(true))
	}
	if err != nil {
		// Some servers accept the request and have no program for it.
		return fmt.Errorf("%w (%v)", errNoSFTP, err)
	}
	return nil
}

// call runs one step; the end of ctx ends the whole SFTP session.
func (f *sftpFiles) call(ctx context.Context, step func() error) error {
	_, err := do(ctx, f.c, operation[struct{}]{
		work:      func() (struct{}, error) { return struct{}{}, f.session.conn.orLost(step()) },
		interrupt: func() { f.session.Close() },
		grace:     cancelGrace,
	})
	return err
}

// close ends the SFTP session, and waits until the server's program has ended,
// which counts as a session until then.
func (f *sftpFiles) close() {
	ended := make(chan struct{})
	if !f.c.spawn(func() {
		defer close(ended)
		limit := time.AfterFunc(cancelGrace, func() { f.session.Close() })
		f.sftp.Close()
		limit.Stop()
		f.session.Close()
		f.session.release()
	}) {
		return // the client was closed, and the session with it
	}
	waitTimeout(ended, cancelGrace, f.c.ctx.Done())
}

func (f *sftpFiles) stat(ctx context.Context, name string) (mode fs.FileMode, err error) {
	var info fs.FileInfo
	err = f.call(ctx, func() (err error) { info, err = f.sftp.Stat(cleanRemote(name)); return err })
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

func (f *sftpFiles) list(ctx context.Context, dir string) (entries []remoteEntry, err error) {
	var found []remoteEntry
	err = f.call(ctx, func() (err error) { found, err = f.walk(cleanRemote(dir), ""); return err })
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (f *sftpFiles) walk(root, below string) ([]remoteEntry, error) {
	infos, err := f.sftp.ReadDir(path.Join(root, below))
	if err != nil {
		return nil, err
	}
	var entries []remoteEntry
	for _, info := range infos {
		if n := info.Name(); n == "" || n == "." || n == ".." || strings.Contains(n, "/") {
			return nil, fmt.Errorf("the machine lists a file with the name %q", n)
		}
		e := remoteEntry{name: path.Join(below, info.Name()), mode: info.Mode()}
		if e.mode&fs.ModeSymlink != 0 {
			if e.target, err = f.sftp.ReadLink(path.Join(root, e.name)); err != nil {
				return nil, err
			}
		}
		entries = append(entries, e)
		if info.IsDir() {
			deeper, err := f.walk(root, e.name)
			if err != nil {
				return nil, err
			}
			entries = append(entries, deeper...)
		}
	}
	return entries, nil
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
