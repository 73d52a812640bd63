package host

import (
	"context"
	"sync"
	"time"

	"github.com/overcast-go/overcast/provider"
)

type progressKey struct{}

// WithProgress returns a context under which set-ups call callback for each step
// that they reach. Set-ups that run at the same time call it from several
// goroutines.
func WithProgress(ctx context.Context, callback func(provider.Progress)) context.Context {
	return context.WithValue(ctx, progressKey{}, callback)
}

// progress is how far a set-up is.
type progress struct {
	label    string
	begun    time.Time
	callback func(provider.Progress) // may be nil

	mu      sync.Mutex
	last    provider.Progress
	address string // "" while it is not known
}

func newProgress(ctx context.Context, label string) *progress {
	callback, _ := ctx.Value(progressKey{}).(func(provider.Progress))
	return &progress{label: label, begun: time.Now(), callback: callback}
}

// report records a step and passes it to the callback.
func (p *progress) report(step, detail string) { p.tell(p.record(step, detail), p.label) }

func (p *progress) record(step, detail string) provider.Progress {
	reached := provider.Progress{Label: p.label, Step: step, Detail: detail, Elapsed: time.Since(p.begun)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = reached
	if step == provider.StepAddress {
		p.address = detail
	}
	return reached
}

// tell passes a step to the callback, under the label of one or more hosts.
func (p *progress) tell(reached provider.Progress, label string) {
	if p.callback != nil {
		reached.Label = label
		p.callback(reached)
	}
}

// reached is the last step.
func (p *progress) reached() provider.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// found is the address of the host, or "" while it is not known.
func (p *progress) found() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

// elapsed is the time since the set-up began while it is in progress, and then
// what it took.
func (p *progress) elapsed(inProgress bool) time.Duration {
	if inProgress {
		return time.Since(p.begun)
	}
	return p.reached().Elapsed
}
