package virt

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
type DomainWatcher struct {
	Domain string
	On     *Connection

	Started  chan struct{} // closed once the domain has run
	Ended    chan struct{} // closed once it has stopped, or the connection was lost
	stopped  chan string   // how the domain has stopped, from an event
	closing  chan struct{}
	watching sync.WaitGroup

	mu      sync.Mutex
	state   DomainState
	outage  error         // why the domain does not run, see instance.Outage
	changed chan struct{} // closed when outage changes, and when the domain reboots
	console *console
}

// newDomainWatcher watches a domain from a state on. The domain need not exist.
func NewDomainWatcher(on *Connection, domain string, from DomainState) *DomainWatcher {
	w := &DomainWatcher{
		Domain: domain, On: on, state: from,
		Started: make(chan struct{}), Ended: make(chan struct{}), changed: make(chan struct{}),
		stopped: make(chan string, 1), closing: make(chan struct{}),
	}
	on.dispatcher.add(w)
	w.watching.Go(w.watch)
	return w
}

// OnLifecycle handles an event. libvirt's event loop calls it, and must not wait.
func (w *DomainWatcher) OnLifecycle(event *libvirt.DomainEventLifecycle) {
	w.change(func(now DomainState) DomainState { return now.after(event) })
}

// OnIOError handles the failure of a disk.
func (w *DomainWatcher) OnIOError(event *libvirt.DomainEventIOErrorReason) {
	w.change(func(now DomainState) DomainState { return now.afterIOError(event) })
}

// reboot handles the reset of the domain: it has not stopped, and what waits for
// its end need not wait.
func (w *DomainWatcher) reboot() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.Phase != phaseStopped {
		w.report(w.outage)
	}
}

// stop handles an end of the watch that no event reports.
func (w *DomainWatcher) stop(how string) {
	w.change(func(DomainState) DomainState { return DomainState{Phase: phaseStopped, how: how} })
}

// change moves on to another state. A domain that has stopped stays so.
func (w *DomainWatcher) change(next func(DomainState) DomainState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.state
	if before.Phase == phaseStopped {
		return
	}
	w.state = next(before)
	if w.state == before {
		return
	}
	switch w.state.Phase {
	case phaseRunning:
		select {
		case <-w.Started:
		default:
			close(w.Started)
		}
		w.report(nil)
	case phasePaused:
		w.report(&PausedError{URL: w.On.URL, Domain: w.Domain, How: w.state.how, ByFault: w.state.fault, Hint: w.state.hint(w.On.URL, w.Domain)})
	case phaseStopped:
		w.stopped <- w.state.how // watch gathers the evidence, and reports
	}
}

// report publishes an outage, or nil for a domain that runs. The caller holds mu.
func (w *DomainWatcher) report(outage error) {
	w.outage = outage
	close(w.changed)
	w.changed = make(chan struct{})
}

// watch waits for the end of the domain or of the connection, and reports it.
func (w *DomainWatcher) watch() {
	var end error
	select {
	case how := <-w.stopped:
		end = recovered.Do(func() error { return w.explain(how) })
	case <-w.On.Heart.lost:
		end = w.On.Loss()
	case <-w.closing:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = DomainState{Phase: phaseStopped, how: w.state.how} // no event changes it any more
	w.report(end)
	close(w.Ended)
}

// shownLines is how many lines of the console and of QEMU's log errors have.
const ShownLines = 15

// consoleGrace is how long a domain that has stopped is given to hand over the
// last output of its console, before its end is reported.
const consoleGrace = 500 * time.Millisecond

// explain returns the error of a domain that has stopped, with the last lines of
// its console and of QEMU's log.
func (w *DomainWatcher) explain(how string) error {
	c := w.GetConsole()
	if c != nil {
		select {
		case <-c.ended:
		case <-w.closing:
		case <-time.After(consoleGrace):
		}
	}
	return &StoppedError{Domain: w.Domain, How: how, Console: c.Tail(ShownLines), Log: qemuLogTail(w.On.URL, w.Domain, ShownLines)}
}

func (w *DomainWatcher) SetConsole(c *console) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.console = c
}

func (w *DomainWatcher) GetConsole() *console {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.console
}

// close ends the watch. What happens to the domain from now on is no outage.
func (w *DomainWatcher) Close() {
	close(w.closing)
	w.watching.Wait()
	w.On.dispatcher.remove(w)
	if c := w.GetConsole(); c != nil {
		select {
		case <-c.close():
		case <-w.On.Heart.lost: // libvirt will not answer
		}
	}
}

// get returns the outage, and a channel that is closed at the next report.
func (w *DomainWatcher) Get() (changed <-chan struct{}, outage error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed, w.outage
}

// exists reports whether the domain has run and has not stopped since.
func (w *DomainWatcher) Exists() bool {
	select {
	case <-w.Ended:
		return false
	default:
	}
	select {
	case <-w.Started:
		return true
	default:
		return false
	}
}

// query asks libvirt for the state of a domain that has been started before its
// watcher. An event that has come meanwhile is newer than the answer.
func (w *DomainWatcher) Query(conn *libvirt.Connect) error {
	state, reason, err := StateOf(conn, w.Domain)
	answer := reportedState(state, reason)
	if IsCode(err, libvirt.ERR_NO_DOMAIN) {
		answer, err = DomainState{Phase: phaseStopped, how: "shut off"}, nil
	}
	if err != nil {
		return err
	}
	w.change(func(now DomainState) DomainState {
		if now.Phase != PhaseUnknown {
			return now
		}
		return answer
	})
	return nil
}

// stateText is the state of the domain as virsh shows it.
func (w *DomainWatcher) StateText() string {
	_, outage := w.Get()
	var stopped *StoppedError
	var paused *PausedError
	switch {
	case errors.As(outage, &stopped):
		return stopped.How
	case errors.As(outage, &paused):
		return paused.How
	case outage != nil:
		return "unknown: " + outage.Error()
	case w.Exists():
		return provider.StateRunning
	}
	return "being started"
}
