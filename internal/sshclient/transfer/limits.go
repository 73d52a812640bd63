package transfer

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
)

// maxDownload limits the content of the files of one download, in bytes. Without a
// limit, a machine could fill the disk of this one: it may send more than the size that
// it reports.
const maxDownload = 64 << 30

// A limitError reports that a machine sent more than a limit.
type limitError struct {
	what  string
	limit int64
}

func (e *limitError) Error() string {
	return fmt.Sprintf("%s more than %d bytes", e.what, e.limit)
}

// limitedFiles limits how much is read from files in all.
type limitedFiles struct {
	remoteFiles
	limit, read int64
}

// get fails with a *limitError, after it has ended what sends the content.
func (l *limitedFiles) get(ctx context.Context, name string, to io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var exceeded atomic.Pointer[limitError]
	read := l.read
	err := l.remoteFiles.get(ctx, name, writerFunc(func(p []byte) (int, error) {
		if int64(len(p)) > l.limit-read {
			e := &limitError{"the download has", l.limit}
			exceeded.Store(e)
			cancel(e)
			return 0, e
		}
		read += int64(len(p))
		return to.Write(p)
	}))
	if e := exceeded.Load(); e != nil {
		return e
	}
	if err == nil { // otherwise the writer may still be called
		l.read = read
	}
	return err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A meteredReader limits what is read between start and stop.
type meteredReader struct {
	io.Reader
	limit    atomic.Int64 // 0 for none
	read     atomic.Int64
	exceeded atomic.Bool
}

func (m *meteredReader) start(limit int64) {
	m.read.Store(0)
	m.limit.Store(limit)
}

func (m *meteredReader) stop() { m.limit.Store(0) }

func (m *meteredReader) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	read, limit := m.read.Add(int64(n)), m.limit.Load()
	if limit > 0 && read > limit {
		m.exceeded.Store(true)
		return 0, &limitError{"the list of the folder has", limit}
	}
	return n, err
}
