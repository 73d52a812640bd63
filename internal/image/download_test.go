package image_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const mega = 1 << 20

// files returns the names in the folder of a cache, without that of the locks.
func files(t *testing.T, cache *image.Cache) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(cache.Dir)
	require.NoError(t, err)
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

func requireContent(t *testing.T, img image.Image, content []byte) {
	t.Helper()
	got, err := os.ReadFile(img.Path)
	require.NoError(t, err)
	require.Equal(t, digest(content), digest(got))
}

func TestADownloadIsVerifiedAndCached(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	cache := newCache(t)
	var last image.Progress
	img, err := cache.Get(t.Context(), s.source(t, digest(content)), func(p image.Progress) { last = p })
	require.NoError(t, err)
	assert.Equal(t, image.Image{Path: filepath.Join(cache.Dir, digest(content)), Cached: true, Format: image.Raw, VirtualSize: mega, SHA256: digest(content)}, img)
	requireContent(t, img, content)
	assert.Equal(t, s.URL+"/debian.img", last.Source)
	assert.Equal(t, "downloading", last.Step)
	assert.EqualValues(t, mega, last.Done)
	assert.EqualValues(t, mega, last.Total)
	assert.True(t, last.End)
	assert.Equal(t, []string{digest(content), digest(content) + ".json"}, files(t, cache))
	info, err := os.Stat(cache.Dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	s.Close()
	again, err := cache.Get(t.Context(), s.source(t, digest(content)), func(image.Progress) { t.Error("progress for a cached image") })
	require.NoError(t, err, "no server is needed any more")
	assert.Equal(t, img, again)
}

func TestADownloadContinuesWhereTheConnectionWasCut(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	s.cutAfter(300_000)
	s.cutAfter(200_000)
	img, err := newCache(t).Get(t.Context(), s.source(t, digest(content)), nil)
	require.NoError(t, err)
	requireContent(t, img, content)
	assert.Equal(t, []string{"", "bytes=300000-", "bytes=500000-"}, s.ranges())
	assert.Equal(t, `"one"`, s.requests[1].Header.Get("If-Range"))
}

// interrupt makes a first Get end after n bytes, and leaves them in the cache.
func interrupt(t *testing.T, cache *image.Cache, s *server, source image.Source, n int) {
	t.Helper()
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	s.instead(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		part := s.content[:n]
		if s.etag != "" {
			w.Header().Set("ETag", s.etag)
		}
		if !s.modified.IsZero() {
			w.Header().Set("Last-Modified", s.modified.UTC().Format(http.TimeFormat))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(s.content)))
		s.mu.Unlock()
		_, _ = w.Write(part)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	go func() { // the reports of progress are too rare to tell
		for ctx.Err() == nil {
			parts, _ := filepath.Glob(filepath.Join(cache.Dir, "*.part"))
			for _, part := range parts {
				if info, err := os.Stat(part); err == nil && info.Size() == int64(n) {
					cancel(stop)
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := cache.Get(ctx, source, nil)
	require.ErrorIs(t, err, stop)
	require.EqualError(t, err, "downloading image "+source.String()+": interrupted")
}

func TestACancelledDownloadIsResumedByTheNextOne(t *testing.T) {
	content := disk(mega)
	for name, set := range map[string]func(*server){
		"by its ETag":              func(*server) {},
		"by its modification time": func(s *server) { s.etag, s.modified = "", time.Now().Add(-time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, content)
			set(s)
			cache := newCache(t)
			interrupt(t, cache, s, s.source(t, digest(content)), 400_000)
			var seen steps
			img, err := cache.Get(t.Context(), s.source(t, digest(content)), seen.report)
			require.NoError(t, err)
			requireContent(t, img, content)
			assert.Equal(t, []string{"", "bytes=400000-"}, s.ranges())
			assert.Equal(t, []string{"resuming", "downloading"}, seen.seen)
		})
	}
}

func TestADownloadStartsAgain(t *testing.T) {
	old, content := disk(mega), append(disk(mega/2), make([]byte, mega)...)
	old[0] ^= 1
	for name, test := range map[string]struct {
		before, after func(s *server, cache *image.Cache)
		ranges        []string
	}{
		"when the file has another ETag": {
			nil, func(s *server, _ *image.Cache) { s.content, s.etag = content, `"two"` },
			[]string{"", "bytes=400000-"},
		},
		"when the server ignores If-Range": {
			nil, func(s *server, _ *image.Cache) {
				s.content, s.etag = content, `"two"`
				s.answer = append(s.answer, func(w http.ResponseWriter, r *http.Request) {
					r.Header.Del("If-Range")
					s.mu.Lock()
					defer s.mu.Unlock()
					s.serveFile(w, r)
				})
			},
			[]string{"", "bytes=400000-", ""},
		},
		"when the server has no ranges": {
			nil, func(s *server, _ *image.Cache) { s.content, s.noRanges = content, true },
			[]string{"", "bytes=400000-"},
		},
		"when the server sends another range": {
			nil, func(s *server, _ *image.Cache) {
				s.content = content
				s.answer = append(s.answer, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-9/%d", len(content)))
					w.WriteHeader(http.StatusPartialContent)
					_, _ = w.Write(content[:10])
				})
			},
			[]string{"", "bytes=400000-", ""},
		},
		"when the file became shorter": {
			nil, func(s *server, _ *image.Cache) {
				s.content = content
				s.answer = append(s.answer, func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				})
			},
			[]string{"", "bytes=400000-", ""},
		},
		"when nothing identifies the file": {
			func(s *server, _ *image.Cache) { s.etag = "" },
			func(s *server, _ *image.Cache) { s.content = content },
			[]string{"", ""},
		},
		"when the ETag is weak": {
			func(s *server, _ *image.Cache) { s.etag = `W/"one"` },
			func(s *server, _ *image.Cache) { s.content = content },
			[]string{"", ""},
		},
		"when the file was modified just before": {
			func(s *server, _ *image.Cache) { s.etag, s.modified = "", time.Now().Add(time.Hour) },
			func(s *server, _ *image.Cache) { s.content = content },
			[]string{"", ""},
		},
		"when the content changed and the ETag did not": {
			nil, func(s *server, _ *image.Cache) { s.content = content[:mega] },
			[]string{"", "bytes=400000-", ""},
		},
		"when the unfinished file is damaged": {
			nil, func(s *server, cache *image.Cache) {
				s.content = content
				parts, _ := filepath.Glob(filepath.Join(cache.Dir, "*.part"))
				_ = os.WriteFile(parts[0], make([]byte, 400_000), 0o600)
			},
			[]string{"", "bytes=400000-", ""},
		},
		"when its state is damaged": {
			nil, func(s *server, cache *image.Cache) {
				s.content = content
				parts, _ := filepath.Glob(filepath.Join(cache.Dir, "*.part.json"))
				_ = os.WriteFile(parts[0], []byte("{"), 0o600)
			},
			[]string{"", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, append([]byte(nil), old...))
			cache := newCache(t)
			if test.before != nil {
				test.before(s, cache)
			}
			want := content
			if strings.Contains(name, "the ETag did not") {
				want = content[:mega]
			}
			source := s.source(t, digest(want))
			interrupt(t, cache, s, source, 400_000)
			s.change(func() { test.after(s, cache) })
			img, err := cache.Get(t.Context(), source, nil)
			require.NoError(t, err)
			requireContent(t, img, want)
			assert.Equal(t, test.ranges, s.ranges())
		})
	}
}

func TestADownloadThatOnlyLacksItsNameIsFinishedWithoutTheServer(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	cache := newCache(t)
	source := s.source(t, digest(content))
	interrupt(t, cache, s, source, 400_000)
	s.Close()
	parts, err := filepath.Glob(filepath.Join(cache.Dir, "*.part"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(parts[0], content, 0o600))
	img, err := cache.Get(t.Context(), source, nil)
	require.NoError(t, err)
	requireContent(t, img, content)
}

func TestAnUnfinishedDownloadOfAnotherURLIsNotContinued(t *testing.T) {
	content := disk(mega)
	s, mirror := serve(t, content), serve(t, content)
	cache := newCache(t)
	interrupt(t, cache, s, s.source(t, digest(content)), 400_000)
	_, err := cache.Get(t.Context(), mirror.source(t, digest(content)), nil)
	require.NoError(t, err)
	assert.Equal(t, []string{""}, mirror.ranges())
}

func TestAWrongDigestIsRefusedAtOnce(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	cache := newCache(t)
	_, err := cache.Get(t.Context(), s.source(t, someDigest), nil)
	var mismatch *image.DigestMismatchError
	require.ErrorAs(t, err, &mismatch)
	assert.Equal(t, image.DigestMismatchError{Source: s.URL + "/debian.img", Want: someDigest, Got: digest(content)}, *mismatch)
	assert.Equal(t, fmt.Sprintf("verifying image %s/debian.img: its SHA-256 digest is %s, but sha256 says %s: check the URL, or correct sha256 if the file was replaced on purpose", s.URL, digest(content), someDigest), err.Error())
	assert.Len(t, s.ranges(), 1)
	assert.Empty(t, files(t, cache))
}

func TestTransientFailuresAreRetried(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	s.status(500, 503, 429)
	s.cutAfter(0)
	s.instead(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err := newCache(t).Get(t.Context(), s.source(t, digest(content)), nil)
	require.NoError(t, err)
	assert.Len(t, s.ranges(), 6)
}

func TestTransientFailuresAreRetriedOnlySoOften(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	s.status(500, 500, 500)
	s.cutAfter(100_000)
	s.status(500, 500, 500, 500, 502, 503, 500)
	cache := newCache(t)
	_, err := cache.Get(t.Context(), s.source(t, digest(content)), nil)
	var failed *image.DownloadError
	require.ErrorAs(t, err, &failed)
	var status *image.StatusError
	require.ErrorAs(t, err, &status)
	assert.Equal(t, image.StatusError{URL: s.URL + "/debian.img", Code: 502, Status: "502 Bad Gateway"}, *status)
	assert.EqualError(t, err, fmt.Sprintf("downloading image %s/debian.img: %s/debian.img answered \"502 Bad Gateway\" (6 attempts)", s.URL, s.URL))
	assert.EqualValues(t, 100_000, failed.Done)
	assert.Len(t, s.ranges(), 9, "what was received resets the count")
}

func TestAServerThatAlwaysCutsIsGivenUp(t *testing.T) {
	s := serve(t, disk(mega))
	s.etag = "" // each attempt starts at the beginning
	for range 20 {
		s.cutAfter(200_000)
		s.cutAfter(100_000)
	}
	_, err := newCache(t).Get(t.Context(), s.source(t, digest(s.content)), nil)
	require.ErrorContains(t, err, "unexpected EOF (6 attempts)")
	assert.Len(t, s.ranges(), 6)
}

func TestAWrongDigestAfterCutsIsRefusedInTheEnd(t *testing.T) {
	s := serve(t, disk(mega))
	for range 10 {
		s.cutAfter(200_000)
		s.instead(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.serveFile(w, r)
		})
	}
	_, err := newCache(t).Get(t.Context(), s.source(t, someDigest), nil)
	require.ErrorAs(t, err, new(*image.DigestMismatchError))
	assert.Equal(t, []string{"", "bytes=200000-", "", "bytes=200000-"}, s.ranges())
}

func TestAnswersThatDoNotPassAreNotRetried(t *testing.T) {
	for code, hint := range map[int]string{
		404: `answered "404 Not Found": check the URL`,
		403: `answered "403 Forbidden": check the URL, and the user and password in it`,
		401: `answered "401 Unauthorized": check the URL, and the user and password in it`,
		410: `answered "410 Gone": check the URL`,
		501: `answered "501 Not Implemented"`,
	} {
		s := serve(t, nil)
		s.status(code, code)
		cache := newCache(t)
		_, err := cache.Get(t.Context(), s.source(t, someDigest), nil)
		var status *image.StatusError
		require.ErrorAs(t, err, &status)
		assert.Equal(t, code, status.Code)
		assert.EqualError(t, err, fmt.Sprintf("downloading image %s/debian.img: %[1]s/debian.img %s", s.URL, hint))
		assert.Len(t, s.ranges(), 1, "%d", code)
		assert.Empty(t, files(t, cache))
	}
}

func TestAServerThatCannotBeReachedIsNamed(t *testing.T) {
	s := serve(t, nil)
	source := s.source(t, someDigest)
	s.Close()
	_, err := newCache(t).Get(t.Context(), source, nil)
	require.ErrorContains(t, err, "connection refused (6 attempts): check the URL and the network")
}

func TestProbeDownloadsNothing(t *testing.T) {
	s := serve(t, disk(mega))
	cache := newCache(t)
	require.NoError(t, cache.Probe(t.Context(), s.source(t, someDigest)))
	assert.Equal(t, []string{"bytes=0-0"}, s.ranges())
	assert.NoDirExists(t, cache.Dir)
	s.change(func() { s.content = nil })
	require.NoError(t, cache.Probe(t.Context(), s.source(t, someDigest)), "an empty file has no such range")
	s.status(404)
	err := cache.Probe(t.Context(), s.source(t, someDigest))
	var status *image.StatusError
	require.ErrorAs(t, err, &status)
	assert.Equal(t, 404, status.Code)
	require.ErrorContains(t, err, ": check the URL")
}

func TestProbeAsksNoServerForAFileInTheCache(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	cache := newCache(t)
	source := s.source(t, digest(content))
	_, err := cache.Get(t.Context(), source, nil)
	require.NoError(t, err)
	s.Close()
	require.NoError(t, cache.Probe(t.Context(), source))
}

func TestCheckReadsTheHeaderOnlyOfAFileThatIsNotCompressed(t *testing.T) {
	require.NoError(t, image.Check(write(t, "a.gz", []byte("\x1f\x8b\x08 not checked"))))
	require.NoError(t, image.Check(write(t, "a.img", make([]byte, 512))))
	require.ErrorContains(t, image.Check(write(t, "a.img", []byte("<html>"))), "it is not a disk image")
	require.ErrorIs(t, image.Check("missing"), os.ErrNotExist)
}

func TestAServerThatFallsSilentCountsAsCut(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	s.instead(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:1000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s.instead(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cache := newCache(t)
	cache.StallTimeout = 2 * time.Second
	img, err := cache.Get(t.Context(), s.source(t, digest(content)), nil)
	require.NoError(t, err)
	requireContent(t, img, content)
	assert.Equal(t, []string{"", "bytes=1000-", "bytes=1000-"}, s.ranges())
}

func TestADamagedFileInTheCacheIsNoticed(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	cache := newCache(t)
	var log strings.Builder
	cache.Logf = func(format string, args ...any) { fmt.Fprintf(&log, format, args...) }
	source := s.source(t, digest(content))
	img, err := cache.Get(t.Context(), source, nil)
	require.NoError(t, err)

	backdate(t, img.Path, time.Hour)
	var seen steps
	_, err = cache.Get(t.Context(), source, seen.report)
	require.NoError(t, err)
	assert.Equal(t, []string{"verifying"}, seen.seen, "another modification time")
	assert.Len(t, s.ranges(), 1)
	assert.Empty(t, log.String())
	_, err = cache.Get(t.Context(), source, func(image.Progress) { t.Error("verified again") })
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(img.Path, make([]byte, mega), 0o600))
	_, err = cache.Get(t.Context(), source, nil)
	require.NoError(t, err)
	requireContent(t, img, content)
	assert.Len(t, s.ranges(), 2)
	assert.Contains(t, log.String(), "the cached file is damaged and is discarded")

	require.NoError(t, os.Remove(img.Path+".json"))
	_, err = cache.Get(t.Context(), source, nil)
	require.NoError(t, err, "the name is the digest")
	assert.Len(t, s.ranges(), 2)
}

func TestAURLWithoutADigestIsDownloadedWhenItChanged(t *testing.T) {
	content := disk(mega)
	for name, set := range map[string]func(s *server, n int){
		"by its ETag": func(s *server, n int) { s.etag = fmt.Sprintf(`"%d"`, n) },
		"by its modification time": func(s *server, n int) {
			s.etag, s.modified = "", time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, content)
			set(s, 1)
			cache := newCache(t)
			source := s.source(t, image.NoDigest)
			img, err := cache.Get(t.Context(), source, nil)
			require.NoError(t, err)
			assert.Equal(t, digest(content), img.SHA256)
			again, err := cache.Get(t.Context(), source, nil)
			require.NoError(t, err)
			assert.Equal(t, img, again)
			assert.Len(t, s.ranges(), 2, "the server is asked")
			assert.Len(t, files(t, cache), 3)

			other := disk(mega)
			other[7] ^= 1
			s.change(func() { s.content = other; set(s, 2) })
			img, err = cache.Get(t.Context(), source, nil)
			require.NoError(t, err)
			requireContent(t, img, other)

			require.NoError(t, os.Remove(img.Path))
			img, err = cache.Get(t.Context(), source, nil)
			require.NoError(t, err, "not modified, but not in the cache")
			requireContent(t, img, other)
		})
	}
}

func TestAURLWithoutADigestIsResumed(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	cache := newCache(t)
	source := s.source(t, image.NoDigest)
	interrupt(t, cache, s, source, 400_000)
	img, err := cache.Get(t.Context(), source, nil)
	require.NoError(t, err)
	requireContent(t, img, content)
	assert.Equal(t, []string{"", "bytes=400000-"}, s.ranges())
}

func TestAURLWithoutADigestIsNotPutTogetherFromTwoFiles(t *testing.T) {
	content, other := disk(mega), disk(mega+mega/2)
	// part answers with a part of a file, and what the server says about its range.
	part := func(content []byte, last int, contentRange string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"one"`)
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(content[400_000 : last+1])
		}
	}
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   []byte
		ranges []string
	}{
		"of another size":       {part(other, len(other)-1, fmt.Sprintf("bytes 400000-%d/%d", len(other)-1, len(other))), other, []string{"", "bytes=400000-", ""}},
		"without the size":      {part(content, len(content)-1, fmt.Sprintf("bytes 400000-%d/*", len(content)-1)), content, []string{"", "bytes=400000-"}},
		"with a part of a part": {part(content, 499_999, fmt.Sprintf("bytes 400000-499999/%d", len(content))), content, []string{"", "bytes=400000-", "bytes=500000-"}},
		"part, without a size":  {part(content, 499_999, "bytes 400000-499999/*"), content, []string{"", "bytes=400000-", "bytes=500000-"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, content)
			cache := newCache(t)
			source := s.source(t, image.NoDigest)
			interrupt(t, cache, s, source, 400_000)
			s.change(func() { s.content = test.want })
			s.instead(test.answer)
			img, err := cache.Get(t.Context(), source, nil)
			require.NoError(t, err)
			requireContent(t, img, test.want)
			assert.Equal(t, test.ranges, s.ranges())
		})
	}
}

func TestRedirectsAreFollowed(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	var logins []string
	login := func(r *http.Request) { user, password, _ := r.BasicAuth(); logins = append(logins, user+":"+password) }
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login(r)
		if r.URL.Path == "/first" {
			http.Redirect(w, r, "second?token=1", http.StatusFound)
			return
		}
		assert.Equal(t, "token=1", r.URL.RawQuery)
		http.Redirect(w, r, s.URL+"/debian.img", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(front.Close)
	source, err := image.URLSource(strings.Replace(front.URL, "://", "://me:geheim@", 1)+"/first", digest(content))
	require.NoError(t, err)
	img, err := newCache(t).Get(t.Context(), source, nil)
	require.NoError(t, err)
	requireContent(t, img, content)
	assert.Equal(t, []string{"me:geheim", "me:geheim"}, logins)
	assert.Empty(t, s.requests[0].Header.Get("Authorization"), "another server")
	assert.Empty(t, s.requests[0].Header.Get("Referer"))
}

func TestErrorsNeverShowSecretsOfURLs(t *testing.T) {
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"not found":                  {http.NotFound, `answered "404 Not Found"`},
		"a status with a text":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, `answered "403 Forbidden"`},
		"a redirect to nowhere":      {redirect(""), "redirects to an invalid address"},
		"a redirect that is no URL":  {redirect("http://geheim:%zz@x/geheim?geheim"), "redirects to an invalid address"},
		"a redirect to a file":       {redirect("file:///x?geheim"), "redirects to file:///x?********, which is not a URL of http or https"},
		"a circle of redirects":      {redirect("?geheim"), "more than 10 redirects"},
		"a redirect to a dead port":  {redirect("http://geheim@127.0.0.1:1/?geheim"), "connection refused"},
		"a connection that is cut":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"a digest that is different": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 512)) }, "its SHA-256 digest is"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(test.handler)
			t.Cleanup(s.Close)
			source, err := image.URLSource(strings.Replace(s.URL, "://", "://me:geheim@", 1)+"/a?token=geheim", someDigest)
			require.NoError(t, err)
			_, err = newCache(t).Get(t.Context(), source, nil)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), "geheim")
			assert.Contains(t, err.Error(), "://********@")
		})
	}
}

func TestARedirectFromHTTPSToHTTPNeedsADigest(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	secure := httptest.NewTLSServer(http.RedirectHandler(s.URL+"/debian.img", http.StatusFound))
	t.Cleanup(secure.Close)
	cache := newCache(t)
	cache.Transport = secure.Client().Transport
	source, err := image.URLSource(secure.URL+"/debian.img", image.NoDigest)
	require.NoError(t, err)
	_, err = cache.Get(t.Context(), source, nil)
	require.ErrorContains(t, err, "redirects from https to http ("+s.URL+"/debian.img), and sha256 is none: give the digest of the file")
	source, err = image.URLSource(secure.URL+"/debian.img", digest(content))
	require.NoError(t, err)
	_, err = cache.Get(t.Context(), source, nil)
	require.NoError(t, err)
}

func TestAnUntrustedCertificateIsNotRetried(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	source, err := image.URLSource(secure.URL, someDigest)
	require.NoError(t, err)
	_, err = newCache(t).Get(t.Context(), source, nil)
	require.ErrorContains(t, err, "certificate")
	assert.NotContains(t, err.Error(), "attempts")
}

func TestAnImageWithABackingFileIsRefusedAlsoFromTheCache(t *testing.T) {
	content := qcow2(3, func(h []byte) { h[15] = 0x70 })
	s := serve(t, content)
	cache := newCache(t)
	for range 2 {
		_, err := cache.Get(t.Context(), s.source(t, digest(content)), nil)
		require.EqualError(t, err, "reading image "+s.URL+"/debian.img: it has a backing file: merge both with qemu-img convert -O qcow2")
	}
	assert.Len(t, s.ranges(), 1)
}
