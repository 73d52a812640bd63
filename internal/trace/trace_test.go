//go:build unix

package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/overcast-go/overcast/internal/trace/tracetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// started opens a new trace.
func started(t *testing.T) (path string, f *File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "trace.json")
	t.Setenv(Variable, path)
	f, err := Open()
	require.NoError(t, err)
	return path, f
}

func read(t *testing.T, path string) tracetest.Trace {
	t.Helper()
	events, err := tracetest.Read(path)
	require.NoError(t, err)
	return events
}

func TestStepsAreNestedSpansOfTheTrackOfTheirHost(t *testing.T) {
	path, f := started(t)
	web := f.Track("web")
	whole := web.Begin("set up")
	first := web.Begin("")
	ctx := With(t.Context(), web)
	require.NoError(t, Do(ctx, "create", func() error {
		return Do(ctx, "create disk", func() error { return nil })
	}))
	first.EndAs("cloned", "overcast-web-1")
	web.Mark("waiting", "for memory")
	failure := errors.New("no luck")
	require.ErrorIs(t, Do(ctx, "log in", func() error { return failure }), failure)
	require.NoError(t, Do(Of(ctx, "db"), "plan", func() error { return nil }))
	whole.End(failure)
	whole.End(nil)
	require.NoError(t, f.Close())

	events := read(t, path)
	own := events.Of(os.Getpid(), "web")
	assert.Equal(t, []string{"set up", "cloned", "create", "create disk", "waiting", "log in"}, own.Names())
	require.NoError(t, own.CheckNesting())
	assert.Equal(t, "no luck", own.Named("set up").Args["error"])
	assert.Equal(t, "no luck", own.Named("log in").Args["error"])
	assert.Equal(t, "overcast-web-1", own.Named("cloned").Args["detail"])
	assert.Equal(t, "i", own.Named("waiting").Phase)
	assert.Equal(t, []string{"plan"}, events.Of(os.Getpid(), "db").Names())
	assert.Equal(t, filepath.Base(os.Args[0]), events.Named("process_name").Args["name"])
	assert.Greater(t, own[0].Time, int64(1.5e15), "microseconds since 1970")
}

// Spans of less than a microsecond would begin and end at the same time.
func TestShortSpansAreNested(t *testing.T) {
	path, f := started(t)
	ctx := With(t.Context(), f.Track("web"))
	for range 100 {
		_ = Do(ctx, "outer", func() error {
			return Do(ctx, "inner", func() error { return Do(ctx, "innermost", func() error { return nil }) })
		})
	}
	require.NoError(t, f.Close())
	own := read(t, path).Of(os.Getpid(), "web")
	require.NoError(t, own.CheckNesting())
	for n := 0; n < len(own); n += 3 {
		require.Equal(t, []string{"outer", "inner", "innermost"}, own[n:n+3].Names())
	}
}

func TestSeveralWritersShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.json")
	t.Setenv(Variable, path)
	const writers, hosts, steps = 8, 4, 25
	var all sync.WaitGroup
	for range writers { // each opens the file, as a process does
		all.Go(func() {
			f, err := Open()
			if !assert.NoError(t, err) {
				return
			}
			var inner sync.WaitGroup
			for n := range hosts {
				inner.Go(func() {
					ctx := With(context.Background(), f.Track(fmt.Sprintf("host_%d", n)))
					for step := range steps {
						_ = Do(ctx, fmt.Sprintf("step %d", step), func() error { return nil })
					}
				})
			}
			inner.Wait()
			assert.NoError(t, f.Close())
		})
	}
	all.Wait()
	events := read(t, path)
	spans := 0
	for _, e := range events {
		if e.Phase == "X" {
			spans++
		}
	}
	assert.Equal(t, writers*hosts*steps, spans)
	assert.Equal(t, []string{"host_0", "host_1", "host_2", "host_3"}, events.Labels(os.Getpid()))
}

func TestTheTrackOfAHostIsTheSameInEveryFile(t *testing.T) {
	path, f := started(t)
	f.Track("web").Begin("set up").End(nil)
	require.NoError(t, f.Close())
	f, err := Open()
	require.NoError(t, err)
	f.Track("web").Begin("tear down").End(nil)
	require.NoError(t, f.Close())
	assert.Equal(t, []string{"set up", "tear down"}, read(t, path).Of(os.Getpid(), "web").Names())
}

func TestSecretsAreHiddenAndLongTextsCut(t *testing.T) {
	path, f := started(t)
	web := f.Track("web")
	web.Begin("log in").End(errors.New("dialling ssh://root:sesame@10.0.0.7: refused"))
	web.Begin("copy ssh://root:sesame@10.0.0.7/x").End(nil)
	web.Mark("waiting", "password=sesame")
	web.Mark("waiting", strings.Repeat("é<", 10_000))
	require.NoError(t, f.Close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "sesame")
	read(t, path)
	for line := range strings.Lines(string(text)) {
		assert.LessOrEqual(t, len(line), 4096)
	}
}

func TestWithoutATraceNothingIsWritten(t *testing.T) {
	t.Setenv(Variable, "")
	f, err := Open()
	require.NoError(t, err)
	require.Nil(t, f)
	web := f.Track("web")
	web.Mark("waiting", "")
	web.Begin("set up").End(nil)
	web.Begin("").EndAs("cloned", "")
	failure := errors.New("no luck")
	assert.Equal(t, t.Context(), With(t.Context(), web))
	assert.Equal(t, t.Context(), Of(t.Context(), "web"))
	require.ErrorIs(t, Do(t.Context(), "create", func() error { return failure }), failure)
	assert.NoError(t, f.Close())
}

func TestAFileThatCannotBeWrittenIsAnError(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	require.NoError(t, err)
	defer reader.Close()
	for path, expected := range map[string]string{
		filepath.Join(dir, "none", "trace.json"): "no such file or directory",
		dir:                                      "is a directory",
		fifo:                                     "is not a regular file",
	} {
		t.Setenv(Variable, path)
		_, err := Open()
		require.ErrorContains(t, err, "opening the trace that OVERCAST_TRACE names: ")
		require.ErrorContains(t, err, expected)
		require.ErrorContains(t, err, "correct it or unset it")
	}
}

func TestAFailedWriteIsReportedOnce(t *testing.T) {
	_, f := started(t)
	require.NoError(t, f.file.Close())
	f.Track("web").Begin("set up").End(nil)
	assert.ErrorContains(t, f.Close(), "writing the trace that OVERCAST_TRACE names: ")
}

func TestAPanicEndsAStep(t *testing.T) {
	path, f := started(t)
	assert.Panics(t, func() { _ = Do(With(t.Context(), f.Track("web")), "create", func() error { panic("no luck") }) })
	require.NoError(t, f.Close())
	assert.Equal(t, []string{"create"}, read(t, path).Of(os.Getpid(), "web").Names())
}

// FuzzText: whatever a guest prints into an error, the file stays JSON.
func FuzzText(f *testing.F) {
	f.Add("\x00\xff\"\\\n")
	f.Fuzz(func(t *testing.T, text string) {
		encoded, err := json.Marshal(event{Name: shown(text), Args: args("error", text)})
		require.NoError(t, err)
		assert.True(t, json.Valid(encoded))
		assert.NotContains(t, string(encoded), "\n")
	})
}
