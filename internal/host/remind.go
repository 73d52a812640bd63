package host

import (
	"cmp"
	"sync"
	"time"

	"github.com/overcast-go/overcast/provider"
)

// reminderInterval is how long a set-up is silent before it reports what it waits for.
const reminderInterval = 15 * time.Second

// remind reports after each interval without a step that the set-up still waits, with
// the last step and the last line of the console. The returned function ends it.
func (p *progress) remind(interval time.Duration, lastLine func() string) (stop func()) {
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
			if line := lastLine(); line != "" {
				detail += "; console: " + line
			}
			p.tell(provider.Progress{Step: provider.StepWaiting, Detail: detail + ";", Elapsed: now}, p.label)
		}
	})
	return func() { close(done); running.Wait() }
}

// lastConsoleLine is the last line of the host's console, or "".
func (h *Host) lastConsoleLine() string {
	if c, ok := h.instance.(provider.ConsoleReader); ok {
		if lines := c.Console(1); len(lines) > 0 {
			return lines[len(lines)-1]
		}
	}
	return ""
}
