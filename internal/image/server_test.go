package image_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/require"
)

// server serves one file and records the requests.
type server struct {
	*httptest.Server

	mu       sync.Mutex
	content  []byte
	etag     string    // with quotes; none if empty
	modified time.Time // none if zero
	noRanges bool
	answer   []func(http.ResponseWriter, *http.Request) // instead of the file, for the first requests
	requests []*http.Request
}

func serve(t *testing.T, content []byte) *server {
	t.Helper()
	s := &server{content: content, etag: `"one"`}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Clone(r.Context()))
	if len(s.answer) > 0 {
		answer := s.answer[0]
		s.answer = s.answer[1:]
		s.mu.Unlock()
		answer(w, r)
		return
	}
	defer s.mu.Unlock()
	s.serveFile(w, r)
}

func (s *server) serveFile(w http.ResponseWriter, r *http.Request) {
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	if s.noRanges {
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "", s.modified, bytes.NewReader(s.content))
}

// cutAfter makes the next answer end after n bytes of the body.
func (s *server) cutAfter(n int) {
	s.instead(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.serveFile(&cutWriter{w, n}, r)
	})
}

// instead makes the next request get another answer.
func (s *server) instead(answer func(http.ResponseWriter, *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = append(s.answer, answer)
}

// status makes the next requests fail with a status.
func (s *server) status(codes ...int) {
	for _, code := range codes {
		s.instead(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
}

func (s *server) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// ranges returns the header Range of each request so far.
func (s *server) ranges() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, r := range s.requests {
		list = append(list, r.Header.Get("Range"))
	}
	return list
}

func (s *server) source(t *testing.T, digest string) image.Source {
	t.Helper()
	source, err := image.URLSource(s.URL+"/debian.img", digest)
	require.NoError(t, err)
	return source
}

// cutWriter sends n bytes of a body and ends the connection.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if len(p) < w.left {
		w.left -= len(p)
		return w.ResponseWriter.Write(p)
	}
	_, _ = w.ResponseWriter.Write(p[:w.left])
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}
