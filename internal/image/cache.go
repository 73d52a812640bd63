package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
)

// Cache is a folder with downloaded and decompressed images. Several goroutines
// and processes may use one folder at the same time.
type Cache struct {
	// Dir is the folder. It is created with mode 0700 if it does not exist.
	Dir string
	// Transport sends requests. Nil is that of package http with the proxy of
	// the environment. Redirects are followed by the cache itself.
	Transport http.RoundTripper
	// RetryWait is the pause after the first transient failure of a download; it
	// doubles with each further one. 0 is half a second.
	RetryWait time.Duration
	// StallTimeout is how long a server may send nothing before the connection
	// counts as cut. 0 is one minute.
	StallTimeout time.Duration
	// Logf prints what a user should know, for example that a cached file was
	// damaged. Nil prints nothing.
	Logf func(format string, args ...any)
}

// DefaultDir returns the image cache of the user: overcast/images in
// [os.UserCacheDir].
func DefaultDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the image cache: %w: set HOME or XDG_CACHE_HOME", err)
	}
	return filepath.Join(dir, "overcast", "images"), nil
}

// Image is a local file that is ready for import.
type Image struct {
	// Path is the file that the user named, which other programs may write to, or
	// one in the cache, which [Cache.Prune] may remove while it is not open.
	Path string
	// Cached reports whether Path is in the cache.
	Cached bool
	Format Format
	// VirtualSize is the size of the disk in bytes.
	VirtualSize int64
	// SHA256 is the digest of the file as given, before decompression.
	SHA256 string
}

// Get returns the image of a file or URL. It downloads, verifies and decompresses
// what is not in the cache yet, and passes the progress to report, which may be nil.
// Calls of report do not overlap. There are none if everything is in the cache.
//
// Get fails with a [*DigestMismatchError], a [*DownloadError] that wraps a
// [*StatusError] or the failure of the connection, a [*FormatError],
// a [*DiskFullError], or [ErrVolume]. When ctx ends, the error wraps its cause, in
// a [*filelock.BusyError] while another process worked on the image.
func (c *Cache) Get(ctx context.Context, source Source, report func(Progress)) (img Image, err error) {
	m := &meter{report: report, now: Progress{Source: source.String()}}
	defer func() { m.end(err) }()
	var path string
	switch source.Kind {
	case File:
		path = source.Path
		img.SHA256, err = c.digestFile(ctx, source, m)
	case URL:
		img.SHA256, err = c.download(ctx, source, m)
		path = c.path(img.SHA256)
	default:
		err = fmt.Errorf("fetching image %s: %w", source, ErrVolume)
	}
	if err != nil {
		return Image{}, err
	}
	img.Path, err = c.unpack(ctx, path, img.SHA256, m)
	if err != nil {
		return Image{}, err
	}
	info, err := Inspect(img.Path)
	if err != nil {
		return Image{}, named(err, source)
	}
	img.Cached = source.Kind != File || img.Path != source.Path
	img.Format, img.VirtualSize = info.Format, info.VirtualSize
	return img, nil
}

// named replaces the path of a cached file in a [*FormatError] by the source.
func named(err error, source Source) error {
	var format *FormatError
	if errors.As(err, &format) {
		format.Path = source.String()
	}
	return err
}

// path returns where something of a key is. Keys are digests, digest.unpacked,
// and url- or file- with a hash.
func (c *Cache) path(key string) string { return filepath.Join(c.Dir, key) }

// acquire locks a key. While another process holds it, the progress of that
// process is reported.
func (c *Cache) acquire(ctx context.Context, key string, m *meter) (*filelock.Ticket, error) {
	locks, err := c.locks()
	if err != nil {
		return nil, err
	}
	watch, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	var once sync.Once
	l, err := filelock.Acquire(ctx, locks, key, thisProcess(m.now.Source), func(holder filelock.Holder) {
		done, total := c.unfinished(key)
		m.step(done, total, "waiting for process %d", holder.PID)
		once.Do(func() { watching.Go(func() { c.follow(watch, key, m, done) }) })
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for image %s: %w", m.now.Source, err)
	}
	return l, nil
}

// locks returns the folder of the locks, which it makes if needed.
func (c *Cache) locks() (string, error) {
	dir := filepath.Join(c.Dir, "locks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("creating the image cache: %w", c.diskError(err))
	}
	return dir, nil
}

func thisProcess(label string) filelock.Holder {
	folder, err := os.Getwd()
	if err != nil {
		folder = "a folder that was removed"
	}
	return filelock.Holder{PID: os.Getpid(), Label: label, Detail: filepath.Base(os.Args[0]) + " in " + folder, Since: time.Now()}
}

// followInterval is how often a waiting process looks at the unfinished file.
const followInterval = 500 * time.Millisecond

// follow reports how much of the unfinished file of a key there is, beyond what
// was there before, until ctx ends.
func (c *Cache) follow(ctx context.Context, key string, m *meter, before int64) {
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			done, total := c.unfinished(key)
			if before == 0 && done > 0 {
				m.restart(done, total) // its rate is unknown
			}
			m.advance(done, total)
			before = done
		}
	}
}

// unfinished returns how many bytes of the unfinished file of a key there are,
// and will be. They are 0 if that is unknown.
func (c *Cache) unfinished(key string) (done, total int64) {
	info, err := os.Stat(c.path(key) + partSuffix)
	if err != nil {
		return 0, 0
	}
	var state partState
	if readJSON(c.path(key)+partSuffix+recordSuffix, &state) != nil {
		return info.Size(), 0
	}
	return info.Size(), state.Total
}

func (c *Cache) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}

// copyBuffer is large enough that reading and hashing take turns rarely.
const copyBuffer = 256 << 10

// copyAll copies a file to w and reports the progress, until ctx ends.
func copyAll(ctx context.Context, w io.Writer, file *os.File, m *meter, step string) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	m.step(0, info.Size(), "%s", step)
	from := &countingReader{ctx: ctx, from: file, advance: func(done int64) { m.advance(done, info.Size()) }}
	_, err = io.CopyBuffer(w, from, make([]byte, copyBuffer))
	return err
}

// countingReader reports how many bytes were read, and fails when ctx ends.
type countingReader struct {
	ctx     context.Context
	from    io.Reader
	done    int64
	advance func(done int64)
}

func (r *countingReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.from.Read(p)
	r.done += int64(n)
	r.advance(r.done)
	return n, err
}
