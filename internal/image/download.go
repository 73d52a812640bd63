package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxAttempts is how many attempts in a row may fail without receiving more than
// those before.
const maxAttempts = 6

// maxRetryWait bounds the pause between two attempts.
const maxRetryWait = 30 * time.Second

// errNotModified says that the file of a URL is still the one in the cache.
var errNotModified = errors.New("not modified")

// partState says what an unfinished download is a part of.
type partState struct {
	URL   string `json:"url"`             // its hash
	Total int64  `json:"total,omitempty"` // bytes, 0 if the server did not say
	validators
}

// validators identify one state of the file of a URL.
type validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
	// Strong says that the same validators mean the same bytes.
	Strong bool `json:"strong,omitempty"`
}

// validatorsOf reads those of a response. An ETag is strong unless it says
// otherwise; a modification time is if it is at least a second in the past, as
// two modifications within a second have the same time (RFC 9110, 8.8.2.2).
func validatorsOf(header http.Header) validators {
	v := validators{ETag: header.Get("ETag"), LastModified: header.Get("Last-Modified")}
	if v.ETag != "" {
		v.Strong = !strings.HasPrefix(v.ETag, "W/")
		return v
	}
	modified, err := http.ParseTime(v.LastModified)
	date, dateErr := http.ParseTime(header.Get("Date"))
	v.Strong = err == nil && dateErr == nil && date.Sub(modified) >= time.Second
	return v
}

// ifRange returns the value of the header If-Range.
func (v validators) ifRange() string {
	if v.ETag != "" {
		return v.ETag
	}
	return v.LastModified
}

// differsFrom compares validators of the same kind. A server may leave out those
// that the request had.
func (v validators) differsFrom(w validators) bool {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	return differ(v.ETag, w.ETag) || v.ETag == "" && differ(v.LastModified, w.LastModified)
}

// urlRecord is what is known about a URL without a digest.
type urlRecord struct {
	SHA256 string `json:"sha256"`
	validators

	asked time.Time // when the server was asked last: the record is as old
}

// download returns the digest of the file of a URL, which is in the cache then.
func (c *Cache) download(ctx context.Context, source Source, m *meter) (string, error) {
	if source.SHA256 == "" {
		return c.downloadUnverified(ctx, source, m)
	}
	if c.isUnchanged(source.SHA256) {
		return source.SHA256, nil
	}
	l, err := c.acquire(ctx, source.SHA256, m)
	if err != nil {
		return "", err
	}
	defer l.Release()
	if ok, err := c.isIntact(ctx, source.SHA256, m); ok || err != nil {
		return source.SHA256, err
	}
	d := c.newDownload(source, source.SHA256, m)
	digest, err := d.run(ctx)
	if err != nil {
		return "", err
	}
	if err := c.publish(d.part, digest); err != nil {
		return "", fmt.Errorf("downloading image %s: %w", source, err)
	}
	os.Remove(d.part + recordSuffix)
	return digest, nil
}

// downloadUnverified downloads a file of any content. It asks the server each time
// whether the file is still the one in the cache, unless another process has done
// so since.
func (c *Cache) downloadUnverified(ctx context.Context, source Source, m *meter) (string, error) {
	began := time.Now()
	key := "url-" + hashOf(source)
	l, err := c.acquire(ctx, key, m)
	if err != nil {
		return "", err
	}
	defer l.Release()
	known, intact, err := c.knownURL(ctx, key, m)
	if err != nil {
		return "", err
	}
	if intact && known.asked.After(began) {
		return known.SHA256, nil
	}
	d := c.newDownload(source, key, m)
	if intact {
		d.known = known.validators
	}
	digest, err := d.run(ctx)
	if errors.Is(err, errNotModified) {
		c.noteAsked(key)
		return known.SHA256, nil
	}
	if err != nil {
		return "", err
	}
	if err := c.withDigest(ctx, digest, m, func(intact bool) error {
		if intact { // the same file from another URL
			return os.Remove(d.part)
		}
		return c.publish(d.part, digest)
	}); err != nil {
		return "", fmt.Errorf("downloading image %s: %w", source, err)
	}
	if err := writeJSON(c.path(key)+recordSuffix, urlRecord{SHA256: digest, validators: d.state.validators}); err != nil {
		return "", fmt.Errorf("downloading image %s: %w", source, c.diskError(err))
	}
	c.noteAsked(key)
	os.Remove(d.part + recordSuffix)
	return digest, nil
}

// noteAsked sets the time at which the server was asked for a URL, also after a write: the
// clock of a file system is some milliseconds late. A failure means another request.
func (c *Cache) noteAsked(key string) {
	now := time.Now()
	_ = os.Chtimes(c.path(key)+recordSuffix, now, now)
}

// knownURL returns what is known about a URL, and whether its file is in the cache.
func (c *Cache) knownURL(ctx context.Context, key string, m *meter) (known urlRecord, intact bool, err error) {
	path := c.path(key) + recordSuffix
	info, err := os.Stat(path)
	if err != nil || readJSON(path, &known) != nil || !isDigest(known.SHA256) {
		return urlRecord{}, false, nil // as if it had never been asked for
	}
	known.asked = info.ModTime()
	err = c.withDigest(ctx, known.SHA256, m, func(found bool) error {
		intact = found
		return nil
	})
	return known, intact, err
}

// withDigest calls do with the lock of a digest. Those with the lock of a URL take
// it second, and so no two wait for each other.
func (c *Cache) withDigest(ctx context.Context, digest string, m *meter, do func(intact bool) error) error {
	l, err := c.acquire(ctx, digest, m)
	if err != nil {
		return err
	}
	defer l.Release()
	intact, err := c.isIntact(ctx, digest, m)
	if err != nil {
		return err
	}
	return do(intact)
}

func hashOf(source Source) string { return hash128(source.url().String()) }

func isDigest(text string) bool {
	_, err := parseDigest(text)
	return err == nil
}

// download is one run of requests until a file is complete. Its caller holds the
// lock of the key.
type download struct {
	cache  *Cache
	source Source
	part   string // path
	m      *meter
	known  validators // of the complete file in the cache, if there is one

	requester *requester
	file      *os.File
	state     partState
	sum       hash.Hash // of the first size bytes of the file
	size      int64
	resumed   bool // the file was put together from several responses
}

func (c *Cache) newDownload(source Source, key string, m *meter) *download {
	return &download{cache: c, source: source, part: c.path(key) + partSuffix, m: m}
}

// run downloads the file into d.part and returns its digest. What was received
// stays there for another run, unless it is of no use.
func (d *download) run(ctx context.Context) (string, error) {
	d.cache.removeOldParts(ctx)
	requester, closeIdle := d.cache.newRequester(d.source.SHA256 != "")
	defer closeIdle()
	d.requester = requester
	file, err := os.OpenFile(d.part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("downloading image %s: %w", d.source, d.cache.diskError(err))
	}
	defer file.Close()
	d.file = file
	if err := d.load(ctx); err != nil {
		return "", d.failed(ctx, 1, err)
	}
	for again := false; ; again = true {
		if attempts, err := d.complete(ctx); err != nil {
			return "", d.failed(ctx, attempts, err)
		}
		got := hex.EncodeToString(d.sum.Sum(nil))
		if d.source.SHA256 == "" || got == d.source.SHA256 {
			return got, nil
		}
		if !d.resumed || again {
			d.discard()
			return "", &DigestMismatchError{Source: d.source.String(), Want: d.source.SHA256, Got: got}
		}
		// Bytes of two states of the file may have been put together, or a crash
		// of this machine has damaged the first ones.
		d.cache.logf("image %s: the resumed download has the wrong digest and starts again", d.source)
		if err := d.restart(); err != nil {
			return "", d.failed(ctx, 1, err)
		}
	}
}

// failed returns the error of a run and cleans up.
func (d *download) failed(ctx context.Context, attempts int, err error) error {
	if errors.Is(err, errNotModified) {
		d.discard()
		return err
	}
	if d.size == 0 {
		d.discard()
	}
	if ctx.Err() != nil {
		return fmt.Errorf("downloading image %s: %w", d.source, context.Cause(ctx))
	}
	err = d.cache.diskError(err)
	if errors.As(err, new(*DiskFullError)) {
		d.discard() // other processes need the space, too
	}
	return &DownloadError{Source: d.source.String(), Done: d.size, Attempts: attempts, Err: err}
}

func (d *download) discard() {
	d.size = 0
	os.Remove(d.part)
	os.Remove(d.part + recordSuffix)
}

// load takes over what an earlier process has received.
func (d *download) load(ctx context.Context) error {
	d.sum = sha256.New()
	info, err := d.file.Stat()
	if err != nil {
		return localError{err}
	}
	if info.Size() == 0 || readJSON(d.part+recordSuffix, &d.state) != nil || d.state.URL != hashOf(d.source) || !d.state.Strong {
		return d.restart()
	}
	if err := copyAll(ctx, d.sum, d.file, d.m, "resuming"); err != nil {
		return localError{err}
	}
	d.size, d.resumed = info.Size(), true
	return nil
}

// restart throws away what was received.
func (d *download) restart() error {
	d.state = partState{URL: hashOf(d.source)}
	d.size, d.resumed = 0, false
	d.sum.Reset()
	if err := d.file.Truncate(0); err != nil {
		return localError{err}
	}
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return localError{err}
	}
	return nil
}

// complete makes attempts until the file is complete, and returns how many of
// them failed one after another at the end.
func (d *download) complete(ctx context.Context) (attempts int, err error) {
	pause := d.cache.RetryWait
	if pause == 0 {
		pause = 500 * time.Millisecond
	}
	first := pause
	most := d.size // received before one of the attempts failed
	for {
		err := d.attempt(ctx)
		if err == nil {
			return 0, nil
		}
		if d.size > most {
			attempts, pause, most = 0, first, d.size
		}
		attempts++
		if ctx.Err() != nil || !isTransient(err) || attempts == maxAttempts {
			return attempts, err
		}
		select {
		case <-ctx.Done():
			return attempts, context.Cause(ctx)
		case <-time.After(pause):
			pause = min(2*pause, maxRetryWait)
		}
	}
}

// attempt sends one request for what is missing and stores the answer.
func (d *download) attempt(ctx context.Context) error {
	if d.size > 0 && d.size == d.state.Total && d.source.SHA256 != "" {
		return nil // only the verification is missing
	}
	if d.size > 0 && !d.state.Strong {
		if err := d.restart(); err != nil {
			return err
		}
	}
	d.m.step(d.size, d.state.Total, "downloading")
	ctx, stall, stop := d.cache.withStallTimeout(ctx)
	defer stop()
	response, err := d.requester.get(ctx, d.source.url(), d.header())
	if err != nil {
		return cause(ctx, err)
	}
	defer response.Body.Close()
	if err := d.accept(response); err != nil {
		return err
	}
	d.m.step(d.size, d.state.Total, "downloading")
	_, err = io.CopyBuffer(d, &stallReader{response.Body, stall}, make([]byte, copyBuffer))
	if err == nil && d.state.Total > 0 && d.size != d.state.Total {
		return fmt.Errorf("the server sent %d of %d bytes", d.size, d.state.Total) // of a range, it may send a part
	}
	return cause(ctx, err)
}

// cause replaces an error by why its context was cancelled.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.As(err, new(localError)) {
		return context.Cause(ctx)
	}
	return err
}

func (d *download) header() http.Header {
	header := http.Header{"Accept-Encoding": {"identity"}, "User-Agent": {"overcast"}}
	switch {
	case d.size > 0:
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.size))
		header.Set("If-Range", d.state.ifRange())
	case d.known.ETag != "":
		header.Set("If-None-Match", d.known.ETag)
	case d.known.LastModified != "":
		header.Set("If-Modified-Since", d.known.LastModified)
	}
	return header
}

// accept prepares the file for the body of a response.
func (d *download) accept(response *http.Response) error {
	now := validatorsOf(response.Header)
	switch response.StatusCode {
	case http.StatusOK:
		if err := d.restart(); err != nil {
			return err
		}
		d.state.validators, d.state.Total = now, max(0, response.ContentLength)
	case http.StatusPartialContent:
		start, total := contentRange(response.Header)
		if start != d.size || total != d.state.Total && total*d.state.Total != 0 || now.differsFrom(d.state.validators) {
			if err := d.restart(); err != nil {
				return err
			}
			return errors.New("the server sent a part of another file")
		}
		d.resumed = true
		if total > 0 { // the server need not repeat it
			d.state.Total = total
		}
	case http.StatusRequestedRangeNotSatisfiable:
		if err := d.restart(); err != nil {
			return err
		}
		return errors.New("the server has less of the file than was received: its content changed")
	case http.StatusNotModified:
		return permanentError{errNotModified}
	default:
		return statusError(response)
	}
	if err := writeJSON(d.part+recordSuffix, d.state); err != nil {
		return localError{err}
	}
	return nil
}

// contentRange reads "bytes 100-199/1000". The total is 0 if it is not given, the
// start -1 if there is none.
func contentRange(header http.Header) (start, total int64) {
	value, ok := strings.CutPrefix(header.Get("Content-Range"), "bytes ")
	span, size, found := strings.Cut(value, "/")
	from, _, dash := strings.Cut(span, "-")
	start, err := strconv.ParseInt(from, 10, 64)
	if !ok || !found || !dash || err != nil {
		return -1, 0
	}
	total, err = strconv.ParseInt(size, 10, 64)
	if err != nil {
		total = 0
	}
	return start, total
}

// Write appends to the file.
func (d *download) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	d.sum.Write(p[:n])
	d.size += int64(n)
	d.m.advance(d.size, d.state.Total)
	if err != nil {
		return n, localError{err}
	}
	return n, nil
}

// stallReader resets the timer whenever something arrives.
type stallReader struct {
	body  io.Reader
	stall *stallTimer
}

func (r *stallReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if n > 0 {
		r.stall.reset()
	}
	return n, err
}
