package image_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// holdBack makes the first answer stop after a part of the body, until release is
// called. It closes begun when that part was sent.
func holdBack(s *server) (begun chan struct{}, release func()) {
	begun = make(chan struct{})
	held := make(chan struct{})
	s.instead(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		content := s.content
		w.Header().Set("ETag", s.etag)
		s.mu.Unlock()
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:1000])
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-held
		_, _ = w.Write(content[1000:])
	})
	return begun, sync.OnceFunc(func() { close(held) })
}

// getTenTimes gets an image in ten goroutines, and calls release when nine of them
// wait. It returns how often each step was begun.
func getTenTimes(t *testing.T, cache *image.Cache, source image.Source, release func(), check func(image.Image)) map[string]int {
	t.Helper()
	begun := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			var mine steps
			img, err := cache.Get(t.Context(), source, func(p image.Progress) {
				before := len(mine.seen)
				if mine.report(p); len(mine.seen) == before {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				step, _, _ := strings.Cut(p.Step, " ")
				if begun[step]++; begun["waiting"] == 9 {
					release()
				}
			})
			if assert.NoError(t, err) {
				check(img)
			}
		})
	}
	all.Wait()
	return begun
}

func TestTenGoroutinesDownloadAndDecompressOnce(t *testing.T) {
	content := disk(mega)
	packed := compress(t, "gzip", content)
	s := serve(t, packed)
	_, release := holdBack(s)
	defer release()
	begun := getTenTimes(t, newCache(t), s.source(t, digest(packed)), release, func(img image.Image) {
		requireContent(t, img, content)
	})
	assert.Len(t, s.ranges(), 1)
	assert.Equal(t, 1, begun["decompressing"])
}

func TestTenGoroutinesDownloadOnceWithoutADigest(t *testing.T) {
	s := serve(t, disk(mega))
	s.etag = "" // nothing shows whether the file changed
	_, release := holdBack(s)
	defer release()
	cache := newCache(t)
	source := s.source(t, image.NoDigest)
	getTenTimes(t, cache, source, release, func(img image.Image) {
		assert.Equal(t, digest(s.content), img.SHA256)
	})
	assert.Len(t, s.ranges(), 1)
	_, err := cache.Get(t.Context(), source, nil)
	require.NoError(t, err)
	assert.Len(t, s.ranges(), 2, "a later one asks")
}

// getHeldBack begins a Get in another goroutine. Its download ends after release
// was called, and wait waits for it.
func getHeldBack(t *testing.T) (cache *image.Cache, source image.Source, release, wait func()) {
	t.Helper()
	content := disk(mega)
	s := serve(t, content)
	begun, release := holdBack(s)
	t.Cleanup(release)
	cache = newCache(t)
	source = s.source(t, digest(content))
	var first sync.WaitGroup
	first.Go(func() {
		_, err := cache.Get(t.Context(), source, nil)
		assert.NoError(t, err)
	})
	<-begun
	return cache, source, release, first.Wait
}

func TestAWaitingGetReportsTheProgressOfTheDownload(t *testing.T) {
	cache, source, release, wait := getHeldBack(t)
	var seen []image.Progress
	_, err := cache.Get(t.Context(), source, func(p image.Progress) {
		if seen = append(seen, p); p.Done == 1000 {
			release()
		}
	})
	require.NoError(t, err)
	wait()
	assert.Equal(t, "waiting for process "+strconv.Itoa(os.Getpid()), seen[0].Step)
	assert.Contains(t, seen, image.Progress{Source: source.String(), Step: seen[0].Step, Done: 1000, Total: mega})
}

const (
	processDirVariable    = "IMAGE_TEST_DIR"
	processURLVariable    = "IMAGE_TEST_URL"
	processDigestVariable = "IMAGE_TEST_DIGEST"
)

// TestGetInAProcess is one of the processes of TestSeveralProcessesDownloadOnce.
func TestGetInAProcess(t *testing.T) {
	dir := os.Getenv(processDirVariable)
	if dir == "" {
		t.Skip("one of the processes of another test")
	}
	source, err := image.URLSource(os.Getenv(processURLVariable), os.Getenv(processDigestVariable))
	require.NoError(t, err)
	cache := &image.Cache{Dir: dir, RetryWait: time.Millisecond}
	img, err := cache.Get(t.Context(), source, nil)
	require.NoError(t, err)
	got, err := os.ReadFile(img.Path)
	require.NoError(t, err)
	_, err = os.Stdout.WriteString("got " + digest(got) + "\n")
	require.NoError(t, err)
}

func process(t *testing.T, cache *image.Cache, url, digest string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestGetInAProcess$", "-test.v")
	cmd.Env = append(os.Environ(), processDirVariable+"="+cache.Dir, processURLVariable+"="+url, processDigestVariable+"="+digest)
	return cmd
}

func TestSeveralProcessesDownloadOnce(t *testing.T) {
	content := disk(mega)
	packed := compress(t, "zstd", content)
	s := serve(t, packed)
	cache := newCache(t)
	var all sync.WaitGroup
	for range 5 {
		cmd := process(t, cache, s.URL+"/debian.img", digest(packed))
		all.Go(func() {
			out, err := cmd.CombinedOutput()
			assert.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "got "+digest(content))
		})
	}
	all.Wait()
	assert.Len(t, s.ranges(), 1)
}

func TestADownloadOfAKilledProcessIsContinued(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	begun, release := holdBack(s)
	defer release()
	cache := newCache(t)
	cmd := process(t, cache, s.URL+"/debian.img", digest(content))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	<-begun
	var kill sync.Once
	img, err := cache.Get(t.Context(), s.source(t, digest(content)), func(p image.Progress) {
		if p.Step == "waiting for process "+strconv.Itoa(cmd.Process.Pid) && p.Done == 1000 {
			kill.Do(func() { assert.NoError(t, cmd.Process.Kill()) })
		}
	})
	require.NoError(t, err)
	requireContent(t, img, content)
	require.Error(t, cmd.Wait())
}

func TestAWaitEndsWithTheContextAndNamesTheHolder(t *testing.T) {
	cache, source, release, wait := getHeldBack(t)
	over := errors.New("imageTimeout is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := cache.Get(ctx, source, func(image.Progress) { cancel(over) })
	var busy *filelock.BusyError
	require.ErrorAs(t, err, &busy)
	require.ErrorIs(t, err, over)
	assert.Equal(t, os.Getpid(), busy.Holder.PID)
	assert.Equal(t, source.String(), busy.Holder.Label)
	release()
	wait()
}
