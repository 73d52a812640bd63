package virt

import (
	"fmt"
	"sync"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// EventLoop runs libvirt's event loop while it has users. A process has one loop of
// libvirt's, which must be registered before a connection is opened.
type EventLoop struct {
	mu    sync.Mutex
	users int
	Stop  func()
}

// registerOnce registers the event loop of this process.
var registerOnce = sync.OnceValue(libvirt.EventRegisterDefaultImpl)

// acquire starts the loop for the first user. Each acquire needs one release.
func (l *EventLoop) acquire() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == 0 {
		if err := registerOnce(); err != nil {
			return fmt.Errorf("registering libvirt's event loop: %w", StripCodes(err))
		}
		stop, err := startLoop()
		if err != nil {
			return err
		}
		l.Stop = stop
	}
	l.users++
	return nil
}

func (l *EventLoop) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users == 0 {
		l.Stop()
	}
}

// startLoop runs the loop in a goroutine. The function that it returns ends the
// goroutine and waits for it.
func startLoop() (stop func(), err error) {
	stopping := make(chan struct{})
	// A timer that does not fire until it is updated, to wake the loop up.
	timer, err := libvirt.EventAddTimeout(-1, func(int) {})
	if err != nil {
		return nil, fmt.Errorf("starting libvirt's event loop: %w", StripCodes(err))
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stopping:
				return
			default:
				// Errors concern single descriptors and were reported there.
				_ = libvirt.EventRunDefaultImpl()
			}
		}
	}()
	return func() {
		close(stopping)
		libvirt.EventUpdateTimeout(timer, 0)
		<-ended
		_ = libvirt.EventRemoveTimeout(timer)
	}, nil
}

// dispatcher passes the events of a connection to the watchers of their domains. It
// registers once with libvirt, for all domains.
type dispatcher struct {
	mu       sync.Mutex
	byDomain map[string]*DomainWatcher
	events   []int // registrations
}

func (d *dispatcher) add(w *DomainWatcher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byDomain == nil {
		d.byDomain = map[string]*DomainWatcher{}
	}
	d.byDomain[w.Domain] = w
}

func (d *dispatcher) remove(w *DomainWatcher) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byDomain, w.Domain)
}

// watcherOf returns the watcher of a domain, or nil.
func (d *dispatcher) watcherOf(domain *libvirt.Domain) *DomainWatcher {
	name, err := domain.GetName()
	if err != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byDomain[name]
}

// dispatch passes an event to the watcher of its domain. libvirt's event loop calls
// it and must continue for all other domains: a panic ends only this watch.
func (d *dispatcher) dispatch(domain *libvirt.Domain, handle func(*DomainWatcher)) {
	w := d.watcherOf(domain)
	if w == nil {
		return
	}
	if err := recovered.Do(func() error { handle(w); return nil }); err != nil {
		w.stop("no longer watched: " + err.Error())
	}
}

// register registers for the events of a connection.
func (d *dispatcher) register(conn *libvirt.Connect) error {
	for _, register := range []func() (int, error){
		func() (int, error) {
			return conn.DomainEventLifecycleRegister(nil, func(_ *libvirt.Connect, domain *libvirt.Domain, event *libvirt.DomainEventLifecycle) {
				d.dispatch(domain, func(w *DomainWatcher) { w.OnLifecycle(event) })
			})
		},
		func() (int, error) {
			return conn.DomainEventIOErrorReasonRegister(nil, func(_ *libvirt.Connect, domain *libvirt.Domain, event *libvirt.DomainEventIOErrorReason) {
				d.dispatch(domain, func(w *DomainWatcher) { w.OnIOError(event) })
			})
		},
		func() (int, error) {
			return conn.DomainEventRebootRegister(nil, func(_ *libvirt.Connect, domain *libvirt.Domain) {
				d.dispatch(domain, (*DomainWatcher).reboot)
			})
		},
	} {
		id, err := register()
		if err != nil {
			return fmt.Errorf("registering for events: %w", StripCodes(err))
		}
		d.events = append(d.events, id)
	}
	return nil
}

// deregister ends the registrations, before the connection is closed.
func (d *dispatcher) deregister(conn *libvirt.Connect) {
	for _, id := range d.events {
		_ = conn.DomainEventDeregister(id) // fails only with the connection, and then there are no events
	}
	d.events = nil
}
