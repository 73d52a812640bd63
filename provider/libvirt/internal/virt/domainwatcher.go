package virt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
)

// DomainWatcher follows a domain by libvirt's events: whether it runs, is paused or
// has stopped. A clone is watched from before its start until it is torn down. When the
// connection is lost, the watch continues over a new one as soon as libvirtd answers.
type DomainWatcher struct {
	Domain string

	Started     chan struct{} // closed once the domain has run
	Done        chan struct{} // closed once it has stopped
	stopped     chan string   // how the domain has stopped, from an event
	closing     chan struct{}
	running     sync.WaitGroup
	consoleLost <-chan struct{} // closed once the connection of the console, the first one, is lost
	release     []func()        // release the connections that the watcher has acquired; used by watch, and after its end

	mu         sync.Mutex
	connection *Connection // the latest
	state      DomainState
	outage     error         // why the domain does not run
	changed    chan struct{} // closed when outage changes, and when the domain reboots
	frozen     bool          // a pause is no outage, see Freeze
	console    *Console
	resumed    int    // events that the domain runs again
	onLost     func() // nil for none
}

// NewDomainWatcher starts watching a domain, which need not exist yet. from is its
// state as far as it is known. Close must be called.
func NewDomainWatcher(on *Connection, domain string, from DomainState) *DomainWatcher {
	w := &DomainWatcher{
		Domain: domain, connection: on, state: from,
		Started: make(chan struct{}), Done: make(chan struct{}), changed: make(chan struct{}),
		stopped: make(chan string, 1), closing: make(chan struct{}), consoleLost: on.Keepalive.lost,
	}
	on.dispatcher.add(w)
	w.running.Go(w.watch)
	return w
}

// OnLost makes the watch call do when a connection is lost. libvirtd has then destroyed the
// domain, or it does not destroy it any more when this process ends. Close waits for the call.
func (w *DomainWatcher) OnLost(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onLost = do
}

// Connection returns the connection over which the domain is watched. It may be lost.
func (w *DomainWatcher) Connection() *Connection {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.connection
}

// OnLifecycle handles an event. libvirt's event loop calls it: it must not block.
func (w *DomainWatcher) OnLifecycle(event *libvirt.DomainEventLifecycle) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if event.Event == libvirt.DOMAIN_EVENT_RESUMED {
		w.resumed++
	}
	changed := w.changeLocked(func(now DomainState) DomainState { return now.after(event) })
	if event.Event == libvirt.DOMAIN_EVENT_RESUMED && !changed {
		w.wake() // for Resume
	}
}

// OnIOError handles the failure of a disk.
func (w *DomainWatcher) OnIOError(event *libvirt.DomainEventIOErrorReason) {
	w.change(func(now DomainState) DomainState { return now.afterIOError(event) })
}

// reboot handles a reset of the domain: waiters are woken, and the state stays.
func (w *DomainWatcher) reboot() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake()
}

// wake wakes waiters after an event that has not changed the state. The caller holds mu.
func (w *DomainWatcher) wake() {
	if !w.state.ignoresEvents() {
		w.report(w.outage)
	}
}

// stop ends the watch for a reason other than an event.
func (w *DomainWatcher) stop(how string) {
	w.change(func(DomainState) DomainState { return DomainState{Phase: PhaseStopped, how: how} })
}

// change changes the state, unless it ignores events.
func (w *DomainWatcher) change(next func(DomainState) DomainState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changeLocked(next)
}

// changeLocked is change for a caller that holds mu. It returns whether the state has changed.
func (w *DomainWatcher) changeLocked(next func(DomainState) DomainState) bool {
	before := w.state
	if before.ignoresEvents() {
		return false
	}
	w.state = next(before)
	if w.state == before {
		return false
	}
	switch w.state.Phase {
	case PhaseRunning:
		select {
		case <-w.Started:
		default:
			close(w.Started)
		}
		w.report(nil)
	case PhasePaused:
		w.reportPause()
	case PhaseStopped:
		w.stopped <- w.state.how // watch collects the diagnostics, and reports
	}
	return true
}

// reportPause publishes the pause of a paused domain, unless it is frozen. The
// caller holds mu.
func (w *DomainWatcher) reportPause() {
	if w.frozen {
		w.report(nil)
		return
	}
	w.report(&PausedError{URL: w.connection.URL, Domain: w.Domain, How: w.state.how, ByFault: w.state.fault, Hint: w.state.hint(w.connection.URL, w.Domain)})
}

// report publishes an outage, or nil for a running domain. The caller holds mu.
func (w *DomainWatcher) report(outage error) {
	w.outage = outage
	close(w.changed)
	w.changed = make(chan struct{})
}

// watch waits for the end of the domain, and reports it. A connection that is lost is
// reported too, and replaced.
func (w *DomainWatcher) watch() {
	for {
		select {
		case how := <-w.stopped:
			w.end(recovered.Do(func() error { return w.explain(how) }))
			return
		case <-w.Connection().Keepalive.lost:
			if !w.lose() {
				continue
			}
			w.callOnLost()
			if !w.rewatch() {
				return
			}
		case <-w.closing:
			return
		}
	}
}

// end reports that the domain has stopped.
func (w *DomainWatcher) end(outage error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report(outage)
	close(w.Done)
}

// MaxShownLines limits the lines of the console, and of QEMU's log, in an error. The
// report of a kernel panic has about 20, and its first line is the cause.
const MaxShownLines = 25

// consoleGrace limits the wait for the last output of the console of a domain that
// has stopped, before its end is reported.
const consoleGrace = 500 * time.Millisecond

// consoleCloseLimit limits the wait until libvirt has closed the stream of a console. libvirtd
// may send no answer to the end of a stream that ends by itself at the same moment (its
// daemonStreamFilter drops the message): the connection then stays open for it.
const consoleCloseLimit = 3 * time.Second

// explain returns the error of a domain that has stopped, with the last lines of
// its console and of QEMU's log.
func (w *DomainWatcher) explain(how string) error {
	c := w.Console()
	if c != nil {
		select {
		case <-c.ended:
		case <-w.closing:
		case <-time.After(consoleGrace):
		}
	}
	return &StoppedError{Domain: w.Domain, How: how, Console: c.LastLines(MaxShownLines), Log: qemuLogTail(w.Connection().URL, w.Domain, MaxShownLines)}
}

// SetConsole sets the console whose last lines an outage shows.
func (w *DomainWatcher) SetConsole(c *Console) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.console = c
}

// Console returns the console of the domain, or nil.
func (w *DomainWatcher) Console() *Console {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.console
}

// Close ends the watch. Later events are no outage.
func (w *DomainWatcher) Close() {
	close(w.closing)
	w.running.Wait()
	w.Connection().dispatcher.remove(w)
	if c := w.Console(); c != nil {
		select {
		case <-c.close():
		case <-w.consoleLost: // libvirt does not answer
		case <-time.After(consoleCloseLimit):
		}
	}
	for _, release := range w.release {
		release()
	}
}

// Outage returns the outage, or nil, and a channel that is closed at the next change.
func (w *DomainWatcher) Outage() (changed <-chan struct{}, outage error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed, w.outage
}

// Exists reports whether the domain has run and has not stopped. It is false while
// that is unknown because the connection is lost.
func (w *DomainWatcher) Exists() bool {
	select {
	case <-w.Done:
		return false
	default:
	}
	if _, outage := w.Outage(); errors.Is(outage, provider.ErrHypervisorNotReachable) {
		return false
	}
	select {
	case <-w.Started:
		return true
	default:
		return false
	}
}

// ReadState reads the state of a domain that was started before its watcher. An
// event that has arrived since is newer than the result and takes precedence.
func (w *DomainWatcher) ReadState(conn *libvirt.Connect) error {
	state, reason, err := StateOf(conn, w.Domain)
	answer := reportedState(state, reason)
	if IsCode(err, libvirt.ERR_NO_DOMAIN) {
		answer, err = DomainState{Phase: PhaseStopped, how: "shut off"}, nil
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

// StateName returns the state of the domain as virsh shows it.
func (w *DomainWatcher) StateName() string {
	_, outage := w.Outage()
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

// Freeze announces that this process is about to pause the domain. Until Unfreeze,
// a pause is no outage.
func (w *DomainWatcher) Freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen = true
	if w.state.Phase == PhasePaused {
		w.report(nil)
	}
}

// Unfreeze ends the effect of Freeze. A domain that is paused is an outage again.
func (w *DomainWatcher) Unfreeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen = false
	if w.state.Phase == PhasePaused {
		w.reportPause()
	}
}

// Fail marks a paused domain as paused by a fault: its state is undefined.
func (w *DomainWatcher) Fail(cause error) {
	w.change(func(DomainState) DomainState {
		return DomainState{Phase: PhasePaused, how: "paused: " + cause.Error(), fault: true}
	})
}

// AwaitPaused returns when the event that the domain is paused has arrived.
func (w *DomainWatcher) AwaitPaused(ctx context.Context) error {
	return w.await(ctx, func() bool { return w.state.Phase == PhasePaused })
}

// Resume calls do, which resumes the domain, and returns when the event of that has
// arrived. The event of a pause just before has then arrived, too.
func (w *DomainWatcher) Resume(ctx context.Context, do func() error) error {
	w.mu.Lock()
	before := w.resumed
	w.mu.Unlock()
	if err := do(); err != nil {
		return err
	}
	return w.await(ctx, func() bool { return w.resumed > before })
}

// await waits for an event that makes arrived true, which is called with mu held. It
// fails when the domain stops or the connection is lost.
func (w *DomainWatcher) await(ctx context.Context, arrived func() bool) error {
	for {
		w.mu.Lock()
		now, outage, changed, done := w.state.Phase, w.outage, w.changed, arrived()
		w.mu.Unlock()
		switch {
		case done:
			return nil
		case (now == PhaseStopped || now == PhaseLost) && outage != nil:
			return outage
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the event of libvirt: %w", context.Cause(ctx))
		}
	}
}

// AwaitStop returns the outage when the domain has stopped or its connection was
// lost, and nil when ctx ends before.
func (w *DomainWatcher) AwaitStop(ctx context.Context) error {
	for {
		changed, outage := w.Outage()
		if errors.Is(outage, provider.ErrHostStopped) || errors.Is(outage, provider.ErrHypervisorNotReachable) {
			return outage
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
