// Package trace writes the steps of set-ups and teardowns to the file that OVERCAST_TRACE
// names, as Chrome trace events: Perfetto and chrome://tracing show them. Parallel
// processes share the file.
//
// A [Track] has the events of one host in this process. Its spans are nested: the steps
// of a host are taken one after the other. Without OVERCAST_TRACE the file and its tracks
// are nil, and their methods do nothing.
package trace

import (
	"context"
	"hash/fnv"
	"sync"
	"time"
)

// Track is the events of one host.
type Track struct {
	file  *File
	id    uint32
	label string

	mu    sync.Mutex
	named bool
	last  int64 // time that was given out last, in microseconds
}

// Track returns the track of a host, the same one for each call.
func (f *File) Track(label string) *Track {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.tracks[label]
	if !ok {
		id := fnv.New32a()
		_, _ = id.Write([]byte(label)) // the track of the teardown has the same ID
		t = &Track{file: f, id: id.Sum32() >> 1, label: label}
		f.tracks[label] = t
	}
	return t
}

// origin is a moment with the time of the wall clock, which processes share, and of the
// monotonic clock, by which the times of one process are measured.
var origin = time.Now()

// now returns the time in microseconds since 1970. It never returns the same time twice, so
// that a span begins after the span that it is part of, and ends before it.
func (t *Track) now() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = max(t.last+1, origin.UnixMicro()+time.Since(origin).Microseconds())
	return t.last
}

// Mark records a moment.
func (t *Track) Mark(name, detail string) {
	if t == nil {
		return
	}
	t.write(event{Name: name, Phase: "i", Time: t.now(), Scope: "t", Args: args("detail", detail)})
}

// Span is a step of a host that is under way.
type Span struct {
	track *Track
	name  string
	begun int64
	once  sync.Once
}

// Begin begins a span.
func (t *Track) Begin(name string) *Span {
	if t == nil {
		return nil
	}
	return &Span{track: t, name: name, begun: t.now()}
}

// End writes the span, with the error that the step failed with. Only the first call does.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	s.end(s.name, "error", failure)
}

// EndAs is End of a step whose name is known only now.
func (s *Span) EndAs(name, detail string) {
	if s != nil {
		s.end(name, "detail", detail)
	}
}

func (s *Span) end(name, key, value string) {
	s.once.Do(func() {
		took := s.track.now() - s.begun
		s.track.write(event{Name: name, Phase: "X", Time: s.begun, Duration: &took, Args: args(key, value)})
	})
}

func args(key, value string) map[string]string {
	if value == "" {
		return nil
	}
	return map[string]string{key: shown(value)}
}

// write writes an event, and before the first one the name of the track.
func (t *Track) write(e event) {
	t.mu.Lock()
	named := t.named
	t.named = true
	t.mu.Unlock()
	if !named {
		t.file.write(event{Name: "thread_name", Phase: "M", Track: t.id, Args: args("name", t.label)})
	}
	e.Name, e.Track = shown(e.Name), t.id
	t.file.write(e)
}

type trackKey struct{}

// With returns a context whose steps, see [Do], are those of a track.
func With(ctx context.Context, t *Track) context.Context {
	if t == nil {
		return ctx
	}
	return context.WithValue(ctx, trackKey{}, t)
}

// Of returns a context whose steps are those of one host, for a context of several hosts.
func Of(ctx context.Context, label string) context.Context {
	return With(ctx, from(ctx).sibling(label))
}

func (t *Track) sibling(label string) *Track {
	if t == nil {
		return nil
	}
	return t.file.Track(label)
}

func from(ctx context.Context) *Track {
	t, _ := ctx.Value(trackKey{}).(*Track)
	return t
}

// Get is [Do] for a step with a result.
func Get[T any](ctx context.Context, name string, do func() (T, error)) (result T, err error) {
	err = Do(ctx, name, func() (err error) {
		result, err = do()
		return err
	})
	return result, err
}

// Do takes a step: it calls do and records how long that took and whether it failed.
func Do(ctx context.Context, name string, do func() error) (err error) {
	t := from(ctx)
	if t == nil {
		return do()
	}
	s := t.Begin(name)
	defer func() { s.End(err) }()
	return do()
}
