package virt

import (
	"fmt"

	"github.com/overcast-go/overcast/internal/redact"
	"libvirt.org/go/libvirt"
)

// Phase is the part of a [DomainState] that decides whether the domain can be used.
type Phase int

const (
	PhaseStarting Phase = iota // libvirt has not let it run yet
	PhaseUnknown               // nothing is known of it yet
	PhaseRunning
	PhasePaused
	PhaseLost    // nothing is known of it any more: the connection is lost
	PhaseStopped // final
)

// DomainState is the state of a watched domain. Events change it.
type DomainState struct {
	Phase  Phase
	how    string // as virsh shows it, with the cause; "" unless the domain is paused or has stopped
	fault  bool   // a fault has paused it
	asleep bool   // the guest has suspended itself
	signal bool   // QEMU has received a signal that ends it
}

// ignoresEvents reports whether events do not change the state: the domain has stopped, or
// they come over a connection that is lost.
func (s DomainState) ignoresEvents() bool { return s.Phase == PhaseStopped || s.Phase == PhaseLost }

// after returns the state after an event.
func (s DomainState) after(event *libvirt.DomainEventLifecycle) DomainState {
	switch event.Event {
	case libvirt.DOMAIN_EVENT_RESUMED:
		return DomainState{Phase: PhaseRunning}
	case libvirt.DOMAIN_EVENT_STARTED:
		if libvirt.DomainEventStartedDetailType(event.Detail) == libvirt.DOMAIN_EVENT_STARTED_WAKEUP {
			return DomainState{Phase: PhaseRunning}
		}
	case libvirt.DOMAIN_EVENT_PMSUSPENDED:
		return suspendedItself
	case libvirt.DOMAIN_EVENT_SUSPENDED:
		return s.paused(pausedByEvent(libvirt.DomainEventSuspendedDetailType(event.Detail)))
	case libvirt.DOMAIN_EVENT_SHUTDOWN:
		s.signal = libvirt.DomainEventShutdownDetailType(event.Detail) == libvirt.DOMAIN_EVENT_SHUTDOWN_HOST
	case libvirt.DOMAIN_EVENT_STOPPED:
		end := DomainState{Phase: PhaseStopped, how: stoppedHow(libvirt.DomainEventStoppedDetailType(event.Detail))}
		if s.signal && end.how == HowPoweredOff {
			end.how = "shut off: QEMU was ended by a signal"
		}
		return end
	case libvirt.DOMAIN_EVENT_CRASHED:
		return DomainState{Phase: PhaseStopped, how: "crashed"}
	}
	return s
}

// afterIOError returns the state after a disk has failed.
func (s DomainState) afterIOError(event *libvirt.DomainEventIOErrorReason) DomainState {
	if event.Action != libvirt.DOMAIN_EVENT_IO_ERROR_PAUSE {
		return s
	}
	why := event.Reason
	if why == "enospc" {
		why = "no space is left in the pool"
	}
	if why != "" {
		why = ": " + why
	}
	return DomainState{Phase: PhasePaused, how: fmt.Sprintf("%s of disk %s%s", pausedByIOError.how, event.SrcPath, why), fault: true}
}

// paused returns the state after a pause. libvirt sends two events for a failed
// disk, in either order: the one that names the disk counts. A clone is created
// paused: that is not a pause of a running clone.
func (s DomainState) paused(to DomainState) DomainState {
	switch {
	case to.Phase != PhasePaused, s.Phase == PhaseStarting && !to.fault, s.Phase == PhasePaused && s.fault:
		return s
	}
	return to
}

// Pauses that both events and libvirt's state of a domain report.
var (
	pausedByAdministrator = DomainState{Phase: PhasePaused, how: "paused by an administrator"}
	pausedByIOError       = DomainState{Phase: PhasePaused, how: "paused: I/O error", fault: true}
	pausedByWatchdog      = DomainState{Phase: PhasePaused, how: "paused by its watchdog", fault: true}
	pausedForMigration    = DomainState{Phase: PhasePaused, how: "paused for its migration"}
	pausedAfterRestore    = DomainState{Phase: PhasePaused, how: "paused after it was restored"}
	pausedByLibvirt       = DomainState{Phase: PhasePaused, how: "paused: libvirt could not resume it after an operation", fault: true}
	suspendedItself       = DomainState{Phase: PhasePaused, how: "paused: its system has suspended itself", asleep: true}
)

// pausedByEvent returns the pause that an event reports, or the zero state if the
// event begins a shutdown.
func pausedByEvent(detail libvirt.DomainEventSuspendedDetailType) DomainState {
	switch detail {
	case libvirt.DOMAIN_EVENT_SUSPENDED_GUEST_SHUTDOWN:
		return DomainState{}
	case libvirt.DOMAIN_EVENT_SUSPENDED_IOERROR:
		return pausedByIOError
	case libvirt.DOMAIN_EVENT_SUSPENDED_WATCHDOG:
		return pausedByWatchdog
	case libvirt.DOMAIN_EVENT_SUSPENDED_MIGRATED, libvirt.DOMAIN_EVENT_SUSPENDED_POSTCOPY:
		return pausedForMigration
	case libvirt.DOMAIN_EVENT_SUSPENDED_RESTORED, libvirt.DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT:
		return pausedAfterRestore
	case libvirt.DOMAIN_EVENT_SUSPENDED_API_ERROR, libvirt.DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED:
		return pausedByLibvirt
	}
	return pausedByAdministrator
}

// Values of [StoppedError.How] if nothing has failed.
const (
	HowPoweredOff = "shut off: the guest powered itself off"
	HowDestroyed  = "shut off: a libvirt client destroyed it"
)

// stoppedHow describes how a domain has stopped.
func stoppedHow(detail libvirt.DomainEventStoppedDetailType) string {
	switch detail {
	case libvirt.DOMAIN_EVENT_STOPPED_SHUTDOWN:
		return HowPoweredOff
	case libvirt.DOMAIN_EVENT_STOPPED_CRASHED:
		return "shut off: it crashed"
	case libvirt.DOMAIN_EVENT_STOPPED_FAILED:
		return "shut off: QEMU failed"
	case libvirt.DOMAIN_EVENT_STOPPED_DESTROYED:
		return HowDestroyed
	case libvirt.DOMAIN_EVENT_STOPPED_SAVED:
		return "shut off: a libvirt client saved it"
	case libvirt.DOMAIN_EVENT_STOPPED_MIGRATED:
		return "shut off: it was migrated to another machine"
	}
	return "shut off"
}

// reportedState converts a state that was read from libvirt.
func reportedState(state libvirt.DomainState, reason int) DomainState {
	switch state {
	case libvirt.DOMAIN_SHUTOFF, libvirt.DOMAIN_CRASHED:
		return DomainState{Phase: PhaseStopped, how: StateName(state)}
	case libvirt.DOMAIN_PMSUSPENDED:
		return suspendedItself
	case libvirt.DOMAIN_PAUSED:
		return pausedByReason(libvirt.DomainPausedReason(reason))
	}
	return DomainState{Phase: PhaseRunning} // the end of a shutdown is an event
}

// pausedByReason returns the pause with a reason of libvirt's.
func pausedByReason(reason libvirt.DomainPausedReason) DomainState {
	switch reason {
	case libvirt.DOMAIN_PAUSED_SHUTTING_DOWN:
		return DomainState{Phase: PhaseRunning}
	case libvirt.DOMAIN_PAUSED_IOERROR:
		return pausedByIOError
	case libvirt.DOMAIN_PAUSED_WATCHDOG:
		return pausedByWatchdog
	case libvirt.DOMAIN_PAUSED_MIGRATION, libvirt.DOMAIN_PAUSED_POSTCOPY:
		return pausedForMigration
	case libvirt.DOMAIN_PAUSED_FROM_SNAPSHOT:
		return pausedAfterRestore
	case libvirt.DOMAIN_PAUSED_API_ERROR, libvirt.DOMAIN_PAUSED_POSTCOPY_FAILED, libvirt.DOMAIN_PAUSED_CRASHED:
		return pausedByLibvirt
	}
	return pausedByAdministrator
}

// hint returns what to do about a pause.
func (s DomainState) hint(url, domain string) string {
	command := "resume"
	if s.asleep {
		command = "dompmwakeup"
	}
	hint := fmt.Sprintf("resume it (virsh -c '%s' %s %s)", redact.Text(url), command, domain)
	if s.fault {
		return "correct the cause, then " + hint
	}
	return hint
}
