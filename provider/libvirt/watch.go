package libvirt

import (
	"context"
	"fmt"

	"libvirt.org/go/libvirt"
)

// watch answers with a context that ends, with a *StoppedError as its cause,
// when the domain no longer runs. The function that it returns stops watching.
func watch(ctx context.Context, conn *libvirt.Connect, name string) (context.Context, func(), error) {
	domain, err := conn.LookupDomainByName(name)
	if isCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil, &StoppedError{Domain: name, How: "gone: it ended as soon as it was started"}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("looking up domain %s: %w", name, said(err))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stopped := func(how string) { cancel(&StoppedError{Domain: name, How: how}) }
	id, err := conn.DomainEventLifecycleRegister(domain, func(_ *libvirt.Connect, _ *libvirt.Domain, event *libvirt.DomainEventLifecycle) {
		if how := stoppedHow(event); how != "" {
			stopped(how)
		}
	})
	if err != nil {
		cancel(nil)
		_ = domain.Free()
		return nil, nil, fmt.Errorf("watching domain %s: %w", name, said(err))
	}
	// What happened before the registration has sent no event.
	if state, _, err := domain.GetState(); err != nil {
		stopped("gone")
	} else if state != libvirt.DOMAIN_RUNNING && state != libvirt.DOMAIN_BLOCKED {
		stopped(stateName(state))
	}
	return ctx, func() {
		_ = conn.DomainEventDeregister(id) // fails only with the connection, and then there are no events
		_ = domain.Free()
		cancel(nil)
	}, nil
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
		if libvirt.DomainEventSuspendedDetailType(event.Detail) == libvirt.DOMAIN_EVENT_SUSPENDED_IOERROR {
			return "paused: I/O error"
		}
	}
	return ""
}
