package host

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
)

// tracedSteps are the steps that set-ups reach one after the other. In a trace each is the
// time since the one before; any other step, such as the beginning of a wait, is a moment.
var tracedSteps = []string{
	provider.StepCloned, provider.StepStarted, provider.StepAddress,
	provider.StepReachable, provider.StepProvisioned, provider.StepReady, provider.StepSavedMemory,
}

// traceTo begins to write the steps of the hosts to a file.
func (b *batch) traceTo(file *trace.File) {
	for _, s := range b.setups {
		s.track = file.Track(s.label)
		s.whole = s.track.Begin("set up")
		s.step = s.track.Begin("")
	}
}

// trace records a step in the trace. The caller has locked p.
func (p *progress) trace(step, detail string) {
	if !slices.Contains(tracedSteps, step) {
		p.track.Mark(step, detail)
		return
	}
	p.step.EndAs(step, detail)
	p.step = p.track.Begin("")
}

// spans are those of several hosts that take a step together.
type spans []*trace.Span

func beginAll(setups []*setup, name string) (all spans) {
	for _, s := range setups {
		all = append(all, s.track.Begin(name))
	}
	return all
}

func (all spans) end(err error) {
	for _, s := range all {
		s.End(err)
	}
}

// closeTrace closes a file. A failed write fails no set-up, and is printed to standard
// error.
func closeTrace(file *trace.File) {
	if err := file.Close(); err != nil {
		fmt.Fprintf(os.Stderr, "overcast: %v\n", err)
	}
}

// tracedTearDown calls do, which tears a host down, and traces its steps. The teardown goes
// on if the file of the trace cannot be opened: the set-up has reported that.
func tracedTearDown(ctx context.Context, label string, do func(context.Context) error) error {
	file, err := trace.Open()
	if err != nil {
		return do(ctx)
	}
	defer closeTrace(file)
	ctx = trace.With(ctx, file.Track(label))
	return trace.Do(ctx, "tear down", func() error { return do(ctx) })
}
