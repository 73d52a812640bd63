package libvirt

import (
	"fmt"
	"sync"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// guards are those who watch over a domain by the events of one connection.
// libvirt takes one registration for all domains of a connection.
type guards struct {
	mu       sync.Mutex
	byDomain map[string]*guard
	events   []int // registrations
}

func (all *guards) add(g *guard) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byDomain == nil {
		all.byDomain = map[string]*guard{}
	}
	all.byDomain[g.domain] = g
}

func (all *guards) remove(g *guard) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.byDomain, g.domain)
}

// of is who watches over a domain, or nil.
func (all *guards) of(domain *libvirt.Domain) *guard {
	name, err := domain.GetName()
	if err != nil {
		return nil
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.byDomain[name]
}

// tell hands an event to who watches over its domain. libvirt's event loop calls
// it, which goes on for all others whatever happens here.
func (all *guards) tell(domain *libvirt.Domain, event func(*guard)) {
	g := all.of(domain)
	if g == nil {
		return
	}
	if err := recovered.Do(func() error { event(g); return nil }); err != nil {
		g.stop("not watched any more: " + err.Error())
	}
}

// register has a connection tell its events.
func (all *guards) register(conn *libvirt.Connect) error {
	lifecycle, err := conn.DomainEventLifecycleRegister(nil, func(_ *libvirt.Connect, domain *libvirt.Domain, event *libvirt.DomainEventLifecycle) {
		all.tell(domain, func(g *guard) { g.lifecycle(event) })
	})
	if err != nil {
		return fmt.Errorf("registering for events: %w", said(err))
	}
	all.events = append(all.events, lifecycle)
	failures, err := conn.DomainEventIOErrorReasonRegister(nil, func(_ *libvirt.Connect, domain *libvirt.Domain, event *libvirt.DomainEventIOErrorReason) {
		all.tell(domain, func(g *guard) { g.ioError(event) })
	})
	if err != nil {
		return fmt.Errorf("registering for events: %w", said(err))
	}
	all.events = append(all.events, failures)
	return nil
}

// deregister ends that, before the connection is closed.
func (all *guards) deregister(conn *libvirt.Connect) {
	for _, id := range all.events {
		_ = conn.DomainEventDeregister(id) // fails only with the connection, and then there are no events
	}
	all.events = nil
}
