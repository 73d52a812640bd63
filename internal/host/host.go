// Package host manages the hosts of a process: it sets them up, shares them
// between processes, runs commands on them, and tears them down. Package fixture
// is its interface for test authors; the adapters for test frameworks use it
// directly.
package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/overcast-go/overcast/internal/route"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
)

// Host is a host that is up. Its methods may be called by several goroutines.
type Host struct {
	instance provider.Instance
	settings provider.Settings
	keys     hostkey.Checker // host keys that are accepted; nil: those of known_hosts
	keyKnown bool            // keys has the key that the provider gave the machine

	pinsMu sync.Mutex
	pins   map[int]*hostkey.Pin // of the other ports that RunAs has logged in to

	life context.Context // ends when the host is torn down
	end  context.CancelCauseFunc

	shared       *sshclient.SharedClient // the connection that all users of the host share
	refusalLimit time.Duration           // see refusals
	attemptLimit time.Duration           // see loginAttempts

	loginFailure atomic.Pointer[string] // the error of the last attempt to log in at set-up

	output tail // of provision.cmd while it runs

	verified atomic.Bool // the address is the host's, so that later logins are checked

	saved time.Duration // by the cached layer that the host is a clone of; set before it is up

	builder *Host // of the host's layer, if it could not be removed; else nil

	route   *route.Route
	mounted []provider.Mount // by us

	gate gate // closed while the host's state is saved or replaced

	pristine string // name of the first checkpoint of [Registry.Pristine]; "" without one
}

func newHost(instance provider.Instance) *Host {
	life, end := context.WithCancelCause(context.Background())
	h := &Host{
		instance: instance, settings: instance.Common(), life: life, end: end,
		shared: sshclient.NewSharedClient(life, "the host"), refusalLimit: refusalLimit, attemptLimit: attemptTimeout, route: route.New(life, instance),
	}
	h.gate.reset()
	if p, ok := instance.(provider.Persistent); !ok || !p.IsPersistent() {
		h.keys = hostkey.NewPin() // the key of a new machine is not known before it boots
	}
	return h
}

// Address is the host's own address or name.
func (h *Host) Address() string { return h.instance.Address() }

// Route connects to the host.
func (h *Host) Route() *route.Route { return h.route }

// BaseDomain is what the host is a clone of, or "".
func (h *Host) BaseDomain() string {
	if c, ok := h.instance.(provider.Cloned); ok {
		return c.BaseDomain()
	}
	return ""
}

// consoleLines is how many lines of a console an error shows.
const consoleLines = 15

// withConsole adds the last lines of the console to an error, unless the host has
// stopped: the error has them then. Diagnostics have them, too.
func (h *Host) withConsole(err error) error {
	c, ok := h.instance.(provider.ConsoleReader)
	if !ok || h.Exited() != nil {
		return err
	}
	lines := c.Console(consoleLines)
	if len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%w\n  last lines of the console:\n    | %s", err, strings.Join(lines, "\n    | "))
}

// errTornDown is the cause when the life of a host ends.
var errTornDown = errors.New("the host is being torn down")

// stop unmounts folders, disconnects and removes the host. If the builder of its layer is
// left, stop removes that first: the builder uses the memory and the address of the host.
func (h *Host) stop(ctx context.Context) error {
	if err := h.stopBuilder(ctx); err != nil {
		return err
	}
	h.unmountFolders(ctx)
	if err := trace.Do(ctx, "disconnect", func() error { return h.disconnect(ctx) }); err != nil {
		return err
	}
	return trace.Do(ctx, "remove", func() error { return h.instance.TearDown(ctx) })
}

// disconnect ends all connections to the host for good.
func (h *Host) disconnect(ctx context.Context) error {
	h.end(errTornDown)
	if err := h.shared.Close(ctx); err != nil {
		return err
	}
	h.route.Close()
	return nil
}

// Errors that a test may branch on. Package fixture has the same values.
var (
	ErrNotSetUp       = errors.New("host is not set up")
	ErrNoLogin        = errors.New("no login configured")
	ErrNotReachable   = errors.New("host is not reachable")
	ErrReverted       = errors.New("the host was reverted to a checkpoint meanwhile")
	ErrCheckpointGone = errors.New("the checkpoint does not exist any more")
)

// NotSetUpError means that a host is not up in this process. It is an
// [ErrNotSetUp].
type NotSetUpError struct{ Label string } // of the host

// Error names the label and what to call first.
func (e *NotSetUpError) Error() string {
	return fmt.Sprintf("host %q is not set up in this process: declare it with suite.Declare(%[1]q) and pass SetUp to BeforeSuite, or call fixture.Up(t, %[1]q) in a test, or fixture.SetUp(ctx, %[1]q)", e.Label)
}

// Is makes the error an [ErrNotSetUp].
func (e *NotSetUpError) Is(target error) bool { return target == ErrNotSetUp }
