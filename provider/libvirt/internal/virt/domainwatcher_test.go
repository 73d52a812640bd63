package virt

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

// waitLimit limits waits that normally end at once.
const waitLimit = 30 * time.Second

// lifecycle returns an event.
func lifecycle[T ~int](event libvirt.DomainEventType, detail T) *libvirt.DomainEventLifecycle {
	return &libvirt.DomainEventLifecycle{Event: event, Detail: int(detail)}
}

var (
	booted     = lifecycle(libvirt.DOMAIN_EVENT_STARTED, libvirt.DOMAIN_EVENT_STARTED_BOOTED)
	wokenUp    = lifecycle(libvirt.DOMAIN_EVENT_STARTED, libvirt.DOMAIN_EVENT_STARTED_WAKEUP)
	paused     = lifecycle(libvirt.DOMAIN_EVENT_SUSPENDED, libvirt.DOMAIN_EVENT_SUSPENDED_PAUSED)
	ioPaused   = lifecycle(libvirt.DOMAIN_EVENT_SUSPENDED, libvirt.DOMAIN_EVENT_SUSPENDED_IOERROR)
	shutting   = lifecycle(libvirt.DOMAIN_EVENT_SUSPENDED, libvirt.DOMAIN_EVENT_SUSPENDED_GUEST_SHUTDOWN)
	resumed    = lifecycle(libvirt.DOMAIN_EVENT_RESUMED, libvirt.DOMAIN_EVENT_RESUMED_UNPAUSED)
	shutdown   = lifecycle(libvirt.DOMAIN_EVENT_SHUTDOWN, libvirt.DOMAIN_EVENT_SHUTDOWN_GUEST)
	terminated = lifecycle(libvirt.DOMAIN_EVENT_SHUTDOWN, libvirt.DOMAIN_EVENT_SHUTDOWN_HOST)
	asleep     = lifecycle(libvirt.DOMAIN_EVENT_PMSUSPENDED, libvirt.DOMAIN_EVENT_PMSUSPENDED_MEMORY)
	off        = lifecycle(libvirt.DOMAIN_EVENT_STOPPED, libvirt.DOMAIN_EVENT_STOPPED_SHUTDOWN)
	destroyed  = lifecycle(libvirt.DOMAIN_EVENT_STOPPED, libvirt.DOMAIN_EVENT_STOPPED_DESTROYED)
	panicked   = lifecycle(libvirt.DOMAIN_EVENT_CRASHED, libvirt.DOMAIN_EVENT_CRASHED_PANICKED)
	fullPool   = &libvirt.DomainEventIOErrorReason{SrcPath: "/pool/vda", Action: libvirt.DOMAIN_EVENT_IO_ERROR_PAUSE, Reason: "enospc"}
	toldGuest  = &libvirt.DomainEventIOErrorReason{SrcPath: "/pool/vda", Action: libvirt.DOMAIN_EVENT_IO_ERROR_REPORT, Reason: "enospc"}
)

// watching watches a domain that does not exist, so that only the test creates events.
func watching(t *testing.T, from Phase) *DomainWatcher {
	t.Helper()
	w := NewDomainWatcher(&Connection{URL: "qemu:///system", Keepalive: NewKeepalive()}, "web", DomainState{Phase: from})
	t.Cleanup(w.Close)
	return w
}

// feed passes events to a watcher.
func feed(w *DomainWatcher, events ...any) {
	for _, event := range events {
		switch e := event.(type) {
		case *libvirt.DomainEventLifecycle:
			w.OnLifecycle(e)
		case *libvirt.DomainEventIOErrorReason:
			w.OnIOError(e)
		}
	}
}

func TestEventsChangeTheState(t *testing.T) {
	const full = "paused: I/O error of disk /pool/vda: no space is left in the pool"
	for name, test := range map[string]struct {
		events []any
		phase  Phase
		how    string
		fault  bool
	}{
		"created paused, as every clone": {[]any{booted, paused}, PhaseStarting, "", false},
		"started":                        {[]any{booted, paused, resumed}, PhaseRunning, "", false},
		"paused by a command":            {[]any{resumed, paused}, PhasePaused, "paused by an administrator", false},
		"resumed":                        {[]any{resumed, paused, resumed}, PhaseRunning, "", false},
		"a full pool":                    {[]any{resumed, fullPool, ioPaused}, PhasePaused, full, true},
		"a full pool, whose events come exchanged":  {[]any{resumed, ioPaused, fullPool}, PhasePaused, full, true},
		"a full pool, before it has run":            {[]any{booted, paused, ioPaused}, PhasePaused, "paused: I/O error", true},
		"a full pool that was paused then":          {[]any{resumed, fullPool, ioPaused, paused}, PhasePaused, full, true},
		"a full pool that was mended":               {[]any{resumed, fullPool, ioPaused, resumed}, PhaseRunning, "", false},
		"a full pool that was mended, and is full":  {[]any{resumed, fullPool, ioPaused, resumed, fullPool, ioPaused}, PhasePaused, full, true},
		"an I/O error that the guest handles":       {[]any{resumed, toldGuest}, PhaseRunning, "", false},
		"its system asleep":                         {[]any{resumed, asleep}, PhasePaused, "paused: its system has suspended itself", false},
		"woken up":                                  {[]any{resumed, asleep, wokenUp}, PhaseRunning, "", false},
		"a shutdown that has begun":                 {[]any{resumed, shutdown, shutting}, PhaseRunning, "", false},
		"a reboot that libvirt does by a shutdown":  {[]any{resumed, shutdown, resumed}, PhaseRunning, "", false},
		"powered off":                               {[]any{resumed, shutdown, off}, PhaseStopped, "shut off: the guest powered itself off", false},
		"ended by a signal":                         {[]any{resumed, terminated, off}, PhaseStopped, "shut off: QEMU was ended by a signal", false},
		"destroyed while it was paused":             {[]any{resumed, paused, destroyed}, PhaseStopped, "shut off: a libvirt client destroyed it", false},
		"crashed":                                   {[]any{resumed, panicked, destroyed}, PhaseStopped, "crashed", false},
		"events that come after it has stopped":     {[]any{resumed, off, booted, resumed, paused}, PhaseStopped, "shut off: the guest powered itself off", false},
		"stopped before it has run":                 {[]any{booted, paused, destroyed}, PhaseStopped, "shut off: a libvirt client destroyed it", false},
		"an I/O error after it has stopped already": {[]any{resumed, off, fullPool}, PhaseStopped, "shut off: the guest powered itself off", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := watching(t, PhaseStarting)
			feed(w, test.events...)
			w.mu.Lock()
			defer w.mu.Unlock()
			assert.Equal(t, DomainState{Phase: test.phase, how: test.how, fault: test.fault, asleep: test.how == suspendedItself.how}, w.state)
		})
	}
}

func TestPausedDomainIsAnOutageUntilItIsResumed(t *testing.T) {
	w := watching(t, PhaseStarting)
	assert.Equal(t, "being started", w.StateName())
	feed(w, resumed)
	assert.Equal(t, provider.StateRunning, w.StateName())
	changed, outage := w.Outage()
	require.NoError(t, outage)

	feed(w, paused)
	<-changed
	changed, outage = w.Outage()
	require.ErrorIs(t, outage, provider.ErrHostPaused)
	require.NotErrorIs(t, outage, provider.ErrHostStopped)
	require.EqualError(t, outage, "domain web is paused by an administrator: resume it (virsh -c 'qemu:///system' resume web)")
	assert.Equal(t, "paused by an administrator", w.StateName())
	assert.True(t, w.Exists(), "it can be kept")

	feed(w, resumed)
	<-changed
	_, outage = w.Outage()
	require.NoError(t, outage)
	feed(w, fullPool)
	_, outage = w.Outage()
	require.EqualError(t, outage, "domain web is paused: I/O error of disk /pool/vda: no space is left in the pool: correct the cause, then resume it (virsh -c 'qemu:///system' resume web)")
	feed(w, resumed, asleep)
	_, outage = w.Outage()
	require.ErrorContains(t, outage, "dompmwakeup web)")
}

func TestAPauseWhoseEventComesLateIsNoOutageAfterTheResume(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	w := watching(t, PhaseUnknown)
	feed(w, resumed)
	w.Freeze()
	var events sync.WaitGroup
	defer events.Wait()
	require.NoError(t, w.Resume(ctx, func() error {
		events.Go(func() {
			feed(w, paused)
			runtime.Gosched()
			feed(w, resumed)
		})
		return nil
	}))
	w.Unfreeze()
	_, outage := w.Outage()
	require.NoError(t, outage)
	require.Equal(t, PhaseRunning, w.state.Phase)
}

func TestStoppedDomainIsAPermanentOutage(t *testing.T) {
	w := watching(t, PhaseStarting)
	c := newConsole(func() {})
	c.output = []byte("Power down\n")
	w.SetConsole(c)
	feed(w, resumed, paused)
	changed, _ := w.Outage()
	feed(w, off)
	c.close()
	<-changed
	_, outage := w.Outage()
	require.ErrorIs(t, outage, provider.ErrHostStopped)
	require.NotErrorIs(t, outage, provider.ErrHostPaused)
	require.EqualError(t, outage, "domain web is shut off: the guest powered itself off\n  last lines of the console:\n    | Power down")
	assert.Equal(t, "shut off: the guest powered itself off", w.StateName())
	assert.False(t, w.Exists())
	feed(w, resumed)
	_, again := w.Outage()
	assert.Equal(t, outage, again)
}

func TestRebootIsReportedAndIsNoOutage(t *testing.T) {
	w := watching(t, PhaseStarting)
	feed(w, resumed)
	changed, _ := w.Outage()
	w.reboot()
	<-changed
	_, outage := w.Outage()
	require.NoError(t, outage)
}

func TestLostConnectionIsAnOutageWithUnknownState(t *testing.T) {
	w := watching(t, PhaseStarting)
	feed(w, resumed)
	changed, _ := w.Outage()
	w.Connection().Keepalive.MarkLost(ClosedByLibvirtd)
	<-changed
	_, outage := w.Outage()
	require.ErrorIs(t, outage, provider.ErrHypervisorNotReachable)
	require.NotErrorIs(t, outage, provider.ErrHostStopped)
	assert.Equal(t, "unknown: the connection to qemu:///system was lost (libvirtd has closed the connection): check that libvirtd runs there", w.StateName())
	feed(w, off)
	_, again := w.Outage()
	assert.Equal(t, outage, again)
}

func TestEventTakesPrecedenceOverAnOlderState(t *testing.T) {
	on := openTestDriver(t)
	w := NewDomainWatcher(on, "test", DomainState{Phase: PhaseUnknown})
	defer w.Close()
	w.OnLifecycle(paused)
	require.NoError(t, w.ReadState(on.Conn), "it runs")
	_, outage := w.Outage()
	require.ErrorIs(t, outage, provider.ErrHostPaused)
}

// libvirt's own test driver reports events as QEMU's does.
func TestWatcherFollowsADomainOfLibvirt(t *testing.T) {
	on := openTestDriver(t)
	domain, err := on.Conn.DomainCreateXML(`<domain type='test'><name>watched</name><memory>1024</memory><os><type>hvm</type></os></domain>`, 0)
	require.NoError(t, err)
	defer domain.Free()
	await := func(w *DomainWatcher, do func() error, want error) {
		t.Helper()
		changed, _ := w.Outage()
		require.NoError(t, do())
		ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
		defer cancel()
		select {
		case <-changed:
		case <-ctx.Done():
			require.Fail(t, "no event")
		}
		_, outage := w.Outage()
		require.ErrorIs(t, outage, want)
	}
	w := NewDomainWatcher(on, "watched", DomainState{Phase: PhaseUnknown})
	defer w.Close()
	require.NoError(t, w.ReadState(on.Conn))
	_, outage := w.Outage()
	require.NoError(t, outage)
	await(w, domain.Suspend, provider.ErrHostPaused)

	late := NewDomainWatcher(on, "watched", DomainState{Phase: PhaseUnknown})
	require.NoError(t, late.ReadState(on.Conn))
	_, outage = late.Outage()
	require.ErrorContains(t, outage, "domain watched is paused by an administrator")
	await(late, domain.Resume, nil)
	await(late, domain.Destroy, provider.ErrHostStopped)
	_, outage = late.Outage()
	require.ErrorContains(t, outage, "domain watched is shut off: a libvirt client destroyed it")
	late.Close()

	gone := NewDomainWatcher(on, "absent", DomainState{Phase: PhaseUnknown})
	defer gone.Close()
	require.NoError(t, gone.ReadState(on.Conn))
	<-gone.Done
	_, outage = gone.Outage()
	require.EqualError(t, outage, "domain absent is shut off")
}

func TestWatcherContinuesOverANewConnection(t *testing.T) {
	on, release, err := NewConnections().Acquire(t.Context(), "test:///default")
	require.NoError(t, err)
	defer release()
	domain, err := on.Conn.DomainCreateXML(`<domain type='test'><name>orphan</name><memory>1024</memory><os><type>hvm</type></os></domain>`, 0)
	require.NoError(t, err)
	defer domain.Free()
	w := NewDomainWatcher(on, "orphan", DomainState{Phase: PhaseUnknown})
	defer w.Close()
	require.NoError(t, w.ReadState(on.Conn))
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	change := func(do func()) error {
		t.Helper()
		changed, _ := w.Outage()
		do()
		select {
		case <-changed:
		case <-ctx.Done():
			require.Fail(t, "the watcher reports nothing")
		}
		_, outage := w.Outage()
		return outage
	}
	lose := func() { w.Connection().Keepalive.MarkLost(ClosedByLibvirtd) }
	losses := make(chan struct{}, 2)
	reconnect := make(chan struct{})
	w.OnLost(func() {
		losses <- struct{}{}
		select {
		case <-reconnect:
		case <-ctx.Done():
		}
	})

	require.ErrorIs(t, change(lose), provider.ErrHypervisorNotReachable)
	assert.False(t, w.Exists())
	require.NoError(t, change(func() { reconnect <- struct{}{} }), "it runs")
	require.NoError(t, w.AwaitWatched(ctx))
	assert.NotSame(t, on, w.Connection())
	assert.True(t, w.Exists())
	require.ErrorIs(t, change(func() { require.NoError(t, domain.Suspend()) }), provider.ErrHostPaused)

	// What happens while there is no connection is found out afterwards.
	require.ErrorIs(t, change(lose), provider.ErrHypervisorNotReachable)
	outage := change(func() {
		require.NoError(t, domain.Destroy())
		reconnect <- struct{}{}
	})
	require.ErrorIs(t, outage, provider.ErrHostStopped)
	require.ErrorContains(t, outage, "domain orphan is shut off")
	<-w.Done
	assert.Len(t, losses, 2)
}

func TestStatesOfLibvirtAreConverted(t *testing.T) {
	for name, test := range map[string]struct {
		state  libvirt.DomainState
		reason libvirt.DomainPausedReason
		want   DomainState
	}{
		"running":               {libvirt.DOMAIN_RUNNING, 0, DomainState{Phase: PhaseRunning}},
		"in shutdown":           {libvirt.DOMAIN_SHUTDOWN, 0, DomainState{Phase: PhaseRunning}},
		"paused by a command":   {libvirt.DOMAIN_PAUSED, libvirt.DOMAIN_PAUSED_USER, pausedByAdministrator},
		"paused by a full pool": {libvirt.DOMAIN_PAUSED, libvirt.DOMAIN_PAUSED_IOERROR, pausedByIOError},
		"paused as it stops":    {libvirt.DOMAIN_PAUSED, libvirt.DOMAIN_PAUSED_SHUTTING_DOWN, DomainState{Phase: PhaseRunning}},
		"asleep":                {libvirt.DOMAIN_PMSUSPENDED, 0, suspendedItself},
		"shut off":              {libvirt.DOMAIN_SHUTOFF, 0, DomainState{Phase: PhaseStopped, how: "shut off"}},
		"crashed":               {libvirt.DOMAIN_CRASHED, 0, DomainState{Phase: PhaseStopped, how: "crashed"}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, reportedState(test.state, int(test.reason)))
		})
	}
}
