package libvirt

import (
	"errors"
	"github.com/overcast-go/overcast/provider"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// domainWatcher follows a domain by libvirt's events: whether it runs, is paused
// or has stopped. The watcher of a clone is there from before the clone is
// started until it is torn down.
type domainWatcher struct {
	domain string
	on     *connection

	started  chan struct{} // closed once the domain has run
	ended    chan struct{} // closed once it has stopped, or the connection was lost
	stopped  chan string   // how the domain has stopped, from an event
	closing  chan struct{}
	watching sync.WaitGroup

	mu      sync.Mutex
	state   domainState
	outage  error         // why the domain does not run, see instance.Outage
	changed chan struct{} // closed when outage changes, and when the domain reboots
	console *console
}

// newDomainWatcher watches a domain from a state on. The domain need not exist.
func newDomainWatcher(on *connection, domain string, from domainState) *domainWatcher {
	w := &domainWatcher{
		domain: domain, on: on, state: from,
		started: make(chan struct{}), ended: make(chan struct{}), changed: make(chan struct{}),
		stopped: make(chan string, 1), closing: make(chan struct{}),
	}
	on.dispatcher.add(w)
	w.watching.Go(w.watch)
	return w
}

// lifecycle handles an event. libvirt's event loop calls it, and must not wait.
func (w *domainWatcher) lifecycle(event *libvirt.DomainEventLifecycle) {
	w.change(func(now domainState) domainState { return now.after(event) })
}

// ioError handles the failure of a disk.
func (w *domainWatcher) ioError(event *libvirt.DomainEventIOErrorReason) {
	w.change(func(now domainState) domainState { return now.afterIOError(event) })
}

// reboot handles the reset of the domain: it has not stopped, and what waits for
// its end need not wait.
func (w *domainWatcher) reboot() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.phase != phaseStopped {
		w.report(w.outage)
	}
}

// stop handles an end of the watch that no event reports.
func (w *domainWatcher) stop(how string) {
	w.change(func(domainState) domainState { return domainState{phase: phaseStopped, how: how} })
}

// change moves on to another state. A domain that has stopped stays so.
func (w *domainWatcher) change(next func(domainState) domainState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.state
	if before.phase == phaseStopped {
		return
	}
	w.state = next(before)
	if w.state == before {
		return
	}
	switch w.state.phase {
	case phaseRunning:
		select {
		case <-w.started:
		default:
			close(w.started)
		}
		w.report(nil)
	case phasePaused:
		w.report(&PausedError{URL: w.on.url, Domain: w.domain, How: w.state.how, ByFault: w.state.fault, Hint: w.state.hint(w.on.url, w.domain)})
	case phaseStopped:
		w.stopped <- w.state.how // watch gathers the evidence, and reports
	}
}

// report publishes an outage, or nil for a domain that runs. The caller holds mu.
func (w *domainWatcher) report(outage error) {
	w.outage = outage
	close(w.changed)
	w.changed = make(chan struct{})
}

// watch waits for the end of the domain or of the connection, and reports it.
func (w *domainWatcher) watch() {
	var end error
	select {
	case how := <-w.stopped:
		end = recovered.Do(func() error { return w.explain(how) })
	case <-w.on.heart.lost:
		end = w.on.loss()
	case <-w.closing:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = domainState{phase: phaseStopped, how: w.state.how} // no event changes it any more
	w.report(end)
	close(w.ended)
}

// shownLines is how many lines of the console and of QEMU's log errors have.
const shownLines = 15

// consoleGrace is how long a domain that has stopped is given to hand over the
// last output of its console, before its end is reported.
const consoleGrace = 500 * time.Millisecond

// explain returns the error of a domain that has stopped, with the last lines of
// its console and of QEMU's log.
func (w *domainWatcher) explain(how string) error {
	c := w.getConsole()
	if c != nil {
		select {
		case <-c.ended:
		case <-w.closing:
		case <-time.After(consoleGrace):
		}
	}
	return &StoppedError{Domain: w.domain, How: how, Console: c.tail(shownLines), Log: qemuLogTail(w.on.url, w.domain, shownLines)}
}

func (w *domainWatcher) setConsole(c *console) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.console = c
}

func (w *domainWatcher) getConsole() *console {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.console
}

// close ends the watch. What happens to the domain from now on is no outage.
func (w *domainWatcher) close() {
	close(w.closing)
	w.watching.Wait()
	w.on.dispatcher.remove(w)
	if c := w.getConsole(); c != nil {
		select {
		case <-c.close():
		case <-w.on.heart.lost: // libvirt will not answer
		}
	}
}

// get returns the outage, and a channel that is closed at the next report.
func (w *domainWatcher) get() (changed <-chan struct{}, outage error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed, w.outage
}

// exists reports whether the domain has run and has not stopped since.
func (w *domainWatcher) exists() bool {
	select {
	case <-w.ended:
		return false
	default:
	}
	select {
	case <-w.started:
		return true
	default:
		return false
	}
}

// query asks libvirt for the state of a domain that has been started before its
// watcher. An event that has come meanwhile is newer than the answer.
func (w *domainWatcher) query(conn *libvirt.Connect) error {
	state, reason, err := stateOf(conn, w.domain)
	answer := reportedState(state, reason)
	if isCode(err, libvirt.ERR_NO_DOMAIN) {
		answer, err = domainState{phase: phaseStopped, how: "shut off"}, nil
	}
	if err != nil {
		return err
	}
	w.change(func(now domainState) domainState {
		if now.phase != phaseUnknown {
			return now
		}
		return answer
	})
	return nil
}

// stateText is the state of the domain as virsh shows it.
func (w *domainWatcher) stateText() string {
	_, outage := w.get()
	var stopped *StoppedError
	var paused *PausedError
	switch {
	case errors.As(outage, &stopped):
		return stopped.How
	case errors.As(outage, &paused):
		return paused.How
	case outage != nil:
		return "unknown: " + outage.Error()
	case w.exists():
		return provider.StateRunning
	}
	return "being started"
}
