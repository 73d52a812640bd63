package virt

import (
	"fmt"
	"sync"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

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
