package libvirt

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// guard learns from libvirt's events that a clone runs, and that it no longer
// does. It watches from before the start until the clone is taken away.
type guard struct {
	domain string
	url    string
	on     *connection

	running chan struct{} // closed once the domain runs
	ended   chan struct{} // closed once err is set
	err     error         // how it ended: a *StoppedError or a *ConnectionLostError

	started  sync.Once
	stopped  chan string // how, from an event
	stopping chan struct{}
	watching sync.WaitGroup

	mu      sync.Mutex
	console *console
}

// newGuard watches for a domain of that name, which need not be there yet.
func newGuard(on *connection, domain string) *guard {
	g := &guard{
		domain: domain, url: on.url, on: on,
		running: make(chan struct{}), ended: make(chan struct{}),
		stopped: make(chan string, 1), stopping: make(chan struct{}),
	}
	on.guards.add(g)
	g.watching.Go(g.watch)
	return g
}

// lifecycle is told what happens to the domain.
func (g *guard) lifecycle(event *libvirt.DomainEventLifecycle) {
	if event.Event == libvirt.DOMAIN_EVENT_RESUMED {
		g.started.Do(func() { close(g.running) })
	}
	g.stop(stoppedHow(event))
}

// ioError is told that a disk of the domain has failed.
func (g *guard) ioError(event *libvirt.DomainEventIOErrorReason) {
	if event.Action == libvirt.DOMAIN_EVENT_IO_ERROR_PAUSE {
		g.stop(ioErrorHow(event))
	}
}

// ioErrorHow says which disk has failed, and by what.
func ioErrorHow(event *libvirt.DomainEventIOErrorReason) string {
	why := event.Reason
	if why == "enospc" {
		why = "no space is left in the pool"
	}
	if why != "" {
		why = ": " + why
	}
	return fmt.Sprintf("paused: I/O error of disk %s%s", event.SrcPath, why)
}

// stop takes note of how the domain stopped. The first word counts.
func (g *guard) stop(how string) {
	if how == "" {
		return
	}
	select {
	case g.stopped <- how:
	default:
	}
}

// watch waits for the end, and gathers what tells why, before it is told: the
// event loop must not wait.
func (g *guard) watch() {
	select {
	case how := <-g.stopped:
		g.err = recovered.Do(func() error { return g.explain(how) })
	case <-g.on.heart.lost:
		g.err = g.on.loss()
	case <-g.stopping:
		return
	}
	close(g.ended)
}

// Of the console and of QEMU's log, errors show that many lines.
const shownLines = 15

// lastWords bounds the wait for what a console said before it ended.
const lastWords = 500 * time.Millisecond

func (g *guard) explain(how string) error {
	c := g.heard()
	if c != nil {
		select {
		case <-c.ended:
		case <-g.stopping:
		case <-time.After(lastWords): // a domain that is paused still has its console
		}
	}
	return &StoppedError{Domain: g.domain, How: how, Console: c.tail(shownLines), Log: qemuLogTail(g.url, g.domain, shownLines)}
}

func (g *guard) hear(c *console) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.console = c
}

func (g *guard) heard() *console {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.console
}

// close ends the watch: what happens to the domain from now on, is wanted.
func (g *guard) close() {
	close(g.stopping)
	g.watching.Wait()
	g.on.guards.remove(g)
	if c := g.heard(); c != nil {
		select {
		case <-c.close():
		case <-g.on.heart.lost: // there is nobody who would answer
		}
	}
}

// runs says whether the domain has come to run, and has not ended.
func (g *guard) runs() bool {
	select {
	case <-g.running:
		return g.alive() == nil
	default:
		return false
	}
}

// alive says how the domain ended, or nil while it runs.
func (g *guard) alive() error {
	select {
	case <-g.ended:
		return g.err
	default:
		return nil
	}
}

// context ends, with what [guard.alive] says as its cause, when the domain no
// longer runs. The function that it returns must be called.
func (g *guard) context(ctx context.Context) (context.Context, context.CancelFunc) {
	return endsWith(ctx, g.ended, g.alive)
}

// endsWith is a context that ends when a channel is closed, with a cause that is
// known by then. The function that it returns must be called.
func endsWith(ctx context.Context, closed <-chan struct{}, cause func() error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { // ends with ctx, which the caller ends
		select {
		case <-closed:
			cancel(cause())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// stoppedHow says in virsh's words how a domain stopped, or "" for an event
// that is about something else.
func stoppedHow(event *libvirt.DomainEventLifecycle) string {
	switch event.Event {
	case libvirt.DOMAIN_EVENT_STOPPED:
		switch libvirt.DomainEventStoppedDetailType(event.Detail) {
		case libvirt.DOMAIN_EVENT_STOPPED_SHUTDOWN:
			return "shut off: the guest powered itself off"
		case libvirt.DOMAIN_EVENT_STOPPED_CRASHED:
			return "shut off: it crashed"
		case libvirt.DOMAIN_EVENT_STOPPED_FAILED:
			return "shut off: QEMU failed"
		case libvirt.DOMAIN_EVENT_STOPPED_DESTROYED:
			return "shut off: somebody destroyed it"
		}
		return "shut off"
	case libvirt.DOMAIN_EVENT_CRASHED:
		return "crashed"
	case libvirt.DOMAIN_EVENT_SUSPENDED:
		switch libvirt.DomainEventSuspendedDetailType(event.Detail) {
		case libvirt.DOMAIN_EVENT_SUSPENDED_IOERROR:
			return "paused: I/O error"
		case libvirt.DOMAIN_EVENT_SUSPENDED_WATCHDOG:
			return "paused: by its watchdog"
		}
	}
	return ""
}
