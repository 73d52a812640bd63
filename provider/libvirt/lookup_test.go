package libvirt

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

// notFound is the error of a strategy whose guest agent did not answer.
var notFound = &strategy.NotFoundError{Strategy: "agent", Seen: address.AgentError(libvirt.Error{Code: libvirt.ERR_AGENT_UNRESPONSIVE}).Error(), Cause: errors.New("addressTimeout of 1s expired")}

// Events of a domain, as libvirt reports them.
var (
	paused   = &libvirt.DomainEventLifecycle{Event: libvirt.DOMAIN_EVENT_SUSPENDED, Detail: int(libvirt.DOMAIN_EVENT_SUSPENDED_PAUSED)}
	ioPaused = &libvirt.DomainEventLifecycle{Event: libvirt.DOMAIN_EVENT_SUSPENDED, Detail: int(libvirt.DOMAIN_EVENT_SUSPENDED_IOERROR)}
	resumed  = &libvirt.DomainEventLifecycle{Event: libvirt.DOMAIN_EVENT_RESUMED, Detail: int(libvirt.DOMAIN_EVENT_RESUMED_UNPAUSED)}
	off      = &libvirt.DomainEventLifecycle{Event: libvirt.DOMAIN_EVENT_STOPPED, Detail: int(libvirt.DOMAIN_EVENT_STOPPED_SHUTDOWN)}
	fullPool = &libvirt.DomainEventIOErrorReason{SrcPath: "/pool/vda", Action: libvirt.DOMAIN_EVENT_IO_ERROR_PAUSE, Reason: "enospc"}
)

// watching watches a domain that does not exist.
func watching(t *testing.T) *virt.DomainWatcher {
	t.Helper()
	w := virt.NewDomainWatcher(&virt.Connection{URL: "qemu:///system", Keepalive: virt.NewKeepalive()}, "web", virt.DomainState{Phase: virt.PhaseStarting})
	t.Cleanup(w.Close)
	return w
}

// feed passes events to a watcher.
func feed(w *virt.DomainWatcher, events ...any) {
	for _, event := range events {
		switch e := event.(type) {
		case *libvirt.DomainEventLifecycle:
			w.OnLifecycle(e)
		case *libvirt.DomainEventIOErrorReason:
			w.OnIOError(e)
		}
	}
}

// lookingUp returns a clone whose address is looked up, and the context of the look-up.
func lookingUp(t *testing.T) (*instance, context.Context) {
	t.Helper()
	w := watching(t)
	w.Connection().Ready, w.Connection().Conn = testDriver(t).Ready, testDriver(t).Conn
	feed(w, resumed)
	i := &instance{on: w.Connection(), watcher: w}
	ctx, unwatch := provider.WatchSetUp(t.Context(), i)
	t.Cleanup(unwatch)
	return i, ctx
}

func TestFailedLookUpNamesTheCauseFirst(t *testing.T) {
	for name, test := range map[string]struct {
		events      []any
		want        string
		is, isNot   []error
		goesOn      bool
		lost, agent bool
	}{
		"a timeout": {nil, "address not found: domain web: no address for", []error{provider.ErrAddressNotFound}, []error{provider.ErrHostPaused}, true, false, true},
		"a domain that has stopped": {[]any{off}, "address not found: domain web is shut off: the guest powered itself off",
			[]error{provider.ErrAddressNotFound, provider.ErrHostStopped}, nil, false, false, false},
		"a full pool": {[]any{fullPool, ioPaused}, "address not found: domain web is paused: I/O error of disk /pool/vda: no space is left in the pool: correct the cause",
			[]error{provider.ErrAddressNotFound, provider.ErrHostPaused}, nil, false, false, false},
		"a timeout while an administrator has paused it": {[]any{paused}, "address not found: domain web: no address for",
			[]error{provider.ErrAddressNotFound, provider.ErrHostPaused}, nil, true, false, true},
		"a connection that is lost": {nil, "the connection to qemu:///system was lost (libvirtd has closed the connection): check that libvirtd runs there",
			[]error{provider.ErrHypervisorNotReachable}, []error{provider.ErrAddressNotFound}, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			i, ctx := lookingUp(t)
			feed(i.watcher, test.events...)
			if test.lost {
				i.on.Keepalive.MarkLost(virt.ClosedByLibvirtd)
			}
			if !test.goesOn {
				<-ctx.Done()
			}
			err := i.addressError(ctx, t.Context(), "web", notFound)
			assert.True(t, len(err.Error()) >= len(test.want) && err.Error()[:len(test.want)] == test.want, err.Error())
			for _, is := range test.is {
				require.ErrorIs(t, err, is)
			}
			for _, not := range test.isNot {
				require.NotErrorIs(t, err, not)
			}
			if test.agent {
				assert.ErrorContains(t, err, "qemu-guest-agent")
			} else {
				assert.NotContains(t, err.Error(), "agent")
			}
		})
	}
}

func TestCancelledLookUpIsNoMissingAddress(t *testing.T) {
	i, _ := lookingUp(t)
	ended, end := context.WithCancel(t.Context())
	end()
	err := i.addressError(ended, ended, "web", notFound)
	require.NotErrorIs(t, err, provider.ErrAddressNotFound)
	require.ErrorContains(t, err, "looking for the address of domain web: ")
}

func TestOnlyAnAgentThatDoesNotAnswerIsSuspectedMissing(t *testing.T) {
	for code, missing := range map[libvirt.ErrorNumber]bool{
		libvirt.ERR_AGENT_UNRESPONSIVE: true,
		libvirt.ERR_OPERATION_INVALID:  false, // the domain does not run
		libvirt.ERR_NO_DOMAIN:          false,
		libvirt.ERR_SYSTEM_ERROR:       false, // the connection is closed
		libvirt.ERR_INTERNAL_ERROR:     false,
	} {
		err := address.AgentError(fmt.Errorf("asking about domain web: %w", virt.StripCodes(libvirt.Error{Code: code, Message: "as it is"})))
		require.ErrorIs(t, err, strategy.ErrNotYet)
		assert.ErrorContains(t, err, "asking about domain web: libvirt: as it is")
		if missing {
			assert.ErrorContains(t, err, "check that qemu-guest-agent runs in the base domain's system")
		} else {
			assert.NotContains(t, err.Error(), "qemu-guest-agent")
		}
	}
	require.NoError(t, address.AgentError(nil))
	require.ErrorIs(t, address.AgentError(context.Canceled), context.Canceled)
}

func TestLostConnectionIsTheCauseOfFailedCalls(t *testing.T) {
	on := testDriver(t)
	failed := errors.New("making volume vda: no answer")
	require.NoError(t, on.OrLost(nil))
	require.Equal(t, failed, on.OrLost(failed))
	on = &virt.Connection{URL: "qemu:///system", Ready: on.Ready, Conn: on.Conn, Keepalive: virt.NewKeepalive()}
	on.Keepalive.MarkLost("it has not answered for 10 seconds")
	require.NoError(t, on.OrLost(nil))
	err := on.OrLost(failed)
	require.EqualError(t, err, "the connection to qemu:///system was lost (it has not answered for 10 seconds): check that libvirtd runs there: making volume vda: no answer")
	require.ErrorIs(t, err, provider.ErrHypervisorNotReachable)
	require.ErrorIs(t, err, failed)
	require.Equal(t, on.Loss(), on.OrLost(fmt.Errorf("libvirt has not answered: %w", on.Loss())), "it says so already")
}

func TestARPScansBeginLaterOnANetworkWithLeases(t *testing.T) {
	assert.Equal(t, missingServerTimeout, scanDelay(true))
	assert.Less(t, scanDelay(false), scanDelay(true))
	assert.Greater(t, scanDelay(false), arpScanAfter)
}
