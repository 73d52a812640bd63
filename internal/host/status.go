package host

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
)

// Status is the state of a host at a moment.
type Status struct {
	Label   string        `json:"label"`
	Up      bool          `json:"up"`                // the host is set up; State says whether it runs
	Failed  bool          `json:"failed,omitempty"`  // the set-up has failed, and the host is removed
	Step    string        `json:"step,omitempty"`    // the last step of its set-up
	Detail  string        `json:"detail,omitempty"`  // of the step
	Reached time.Duration `json:"reached,omitempty"` // from the beginning of the set-up to the step, in nanoseconds
	Elapsed time.Duration `json:"elapsed,omitempty"` // from the beginning of the set-up to now, or to the last step of a host that is up, in nanoseconds
	Saved   time.Duration `json:"saved,omitempty"`   // that provisioning took when the cached layer of the host was built, in nanoseconds
	State   string        `json:"state,omitempty"`   // of the machine: see provider.StateReporter; "" if it is not known
	Address string        `json:"address,omitempty"` // its own; "" if it is not known yet
	Login   string        `json:"login,omitempty"`   // command that logs in; "" without a configured login
	Keep    string        `json:"keep,omitempty"`    // when it is kept, for instance "on-failure"
	Console []string      `json:"console,omitempty"` // last lines of the console
	Output  string        `json:"output,omitempty"`  // last line of provision.cmd while it runs
}

// Status returns the state of the host of a label, with at most that many lines of
// its console. It does not wait.
func (r *Registry) Status(label string, lines int) Status {
	if e := r.find(label); e != nil {
		return e.status(lines)
	}
	return Status{Label: label}
}

func (e *entry) status(lines int) Status {
	status := Status{Label: e.label}
	e.mu.Lock()
	h, s, settingUp := e.host, e.setup, e.settingUp
	e.mu.Unlock()
	status.Up = h != nil
	if s != nil && (settingUp || s.host == h) {
		reached := s.reached()
		status.Step, status.Detail, status.Reached = cmp.Or(reached.Step, "begun"), reached.Detail, reached.Elapsed
		status.Elapsed = s.elapsed(settingUp)
		status.Address = s.found()
		if settingUp {
			h = s.host
		}
	}
	if h != nil {
		h.fill(&status, lines)
	}
	return status
}

// fill adds what the host itself knows.
func (h *Host) fill(status *Status, lines int) {
	if status.Up {
		status.Address = h.instance.Address()
		status.Login = h.loginCommand()
		status.Saved = h.saved
	}
	status.Keep = h.settings.KeepPolicy()
	status.Output = h.output.lastLine()
	if c, ok := h.instance.(provider.ConsoleReader); ok {
		status.Console = c.Console(lines)
	}
	if s, ok := h.instance.(provider.StateReporter); ok {
		status.State = s.State()
	}
}

// String is one line, with the last line of provision.cmd while it runs, else of the
// console. It contains "up" only if the
// host runs.
func (s Status) String() string {
	runs := s.State == "" || s.State == provider.StateRunning
	var words []string
	switch {
	case s.Step == "" && !s.Up:
		return s.Label + ": not set up"
	case s.Failed:
		words = append(words, "set-up failed", "last step: "+s.progress())
	case !s.Up:
		words = append(words, "being set up", s.progress())
	case runs:
		words = append(words, "up")
	}
	if s.State != "" {
		words = append(words, s.State)
	}
	text := s.Label + ": " + strings.Join(words, ", ")
	switch {
	case s.Address == "":
	case runs:
		text += " at " + s.Address
	default:
		text += "; address: " + s.Address
	}
	switch {
	case s.Output != "":
		text += "; provision.cmd: " + s.Output
	case len(s.Console) > 0:
		text += "; console: " + s.Console[len(s.Console)-1]
	}
	return text
}

// progress is how far a set-up is, and since when.
func (s Status) progress() string {
	text := fmt.Sprintf("%s after %.1fs", s.Step, s.Reached.Seconds())
	if s.Detail != "" && s.Detail != s.Address { // the address is shown anyway
		text += " (" + s.Detail + ")"
	}
	if s.Failed {
		return text
	}
	return text + fmt.Sprintf(", %.1fs so far", s.Elapsed.Seconds())
}

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
	track    *trace.Track            // nil without a trace

	mu      sync.Mutex
	last    provider.Progress
	step    *trace.Span // from the last step to the next one
	address string      // "" while it is not known
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
	p.trace(step, detail)
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

// reminderInterval is how long a set-up is silent before it reports what it waits for.
const reminderInterval = 15 * time.Second

// remind reports after each interval without a step that the set-up still waits, with
// the last step and what was seen last. The returned function ends it.
func (p *progress) remind(interval time.Duration, lastSeen func() string) (stop func()) {
	if p.callback == nil {
		return func() {}
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		timer := time.NewTimer(interval)
		defer timer.Stop()
		reminded := time.Duration(0)
		for {
			select {
			case <-timer.C:
			case <-done:
				return
			}
			now, last := time.Since(p.begun), p.reached()
			if silent := now - max(last.Elapsed, reminded); silent < interval {
				timer.Reset(interval - silent)
				continue
			}
			reminded = now
			timer.Reset(interval)
			detail := "since " + cmp.Or(last.Step, "the beginning")
			if seen := lastSeen(); seen != "" {
				detail += "; " + seen
			}
			p.tell(provider.Progress{Step: provider.StepWaiting, Detail: detail + ";", Elapsed: now}, p.label)
		}
	})
	return func() { close(done); running.Wait() }
}

// lastSeen is the last line of provision.cmd while it runs, else of the host's console or,
// without one, the error of the last login, or "".
func (h *Host) lastSeen() string {
	if line := h.output.lastLine(); line != "" {
		return "provision.cmd: " + line
	}
	if c, ok := h.instance.(provider.ConsoleReader); ok {
		if lines := c.Console(1); len(lines) > 0 {
			return "console: " + lines[len(lines)-1]
		}
	}
	if failed := h.loginFailure.Load(); failed != nil {
		return "last login: " + *failed
	}
	return ""
}
