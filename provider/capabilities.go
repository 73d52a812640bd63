package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/hocon"
)

// The interfaces below are optional capabilities of an [Instance]. Unless they
// say otherwise, their methods may be called by several goroutines at any time
// while the host is up, also during TearDown, and return at once what is known.

// Cloned is implemented by an instance that is a copy of something.
type Cloned interface {
	// BaseDomain is the name of what was copied, or "".
	BaseDomain() string
}

// ConsoleReader is implemented by an instance that reads its host's console.
type ConsoleReader interface {
	// Console is the last lines of the console, at most that many.
	Console(lines int) []string
}

// StateReporter is implemented by an instance that knows the state of its host.
type StateReporter interface {
	// State is [StateRunning] while the host runs, a text that begins with
	// "paused" while it is paused, and otherwise in the provider's terms. It is
	// "" if it is not known.
	State() string
}

// StateRunning is the state of a host that runs.
const StateRunning = "running"

// Screenshotter is implemented by an instance whose host has a screen.
type Screenshotter interface {
	// Screenshot is the content of the screen as a PNG image. It may wait. The
	// error is an [errors.ErrUnsupported] for a host without a screen.
	Screenshot(ctx context.Context) ([]byte, error)
}

// ErrNoScreen is the error for a host whose provider has no [Screenshotter].
var ErrNoScreen = fmt.Errorf("the host has no screen: %w", errors.ErrUnsupported)

// Diagnoser is implemented by an instance that can say more about a host that
// has an address but accepts no login.
type Diagnoser interface {
	// Explain says what is known about the address and what to do.
	Explain(ctx context.Context) string
}

// AddressVerifier is implemented by an instance that can check that the machine that
// answers at its address is its own.
type AddressVerifier interface {
	// VerifyAddress is called after the first login, before the host counts as
	// reachable. run executes a shell command on the machine that was logged in
	// to and returns its standard output. The error is an [ErrAddressConflict]
	// if another machine has the address.
	VerifyAddress(ctx context.Context, run func(ctx context.Context, cmd string) (stdout string, err error)) error
}

// LoginVerifier is implemented by an [AddressVerifier] that can check later logins.
type LoginVerifier interface {
	// VerifyLogin is called after each login that follows VerifyAddress or Attach, with
	// the same run and error. It only checks which machine the login reached.
	VerifyLogin(ctx context.Context, run func(ctx context.Context, cmd string) (stdout string, err error)) error
}

// ConflictChecker is implemented by an [AddressVerifier] that can look for another machine
// with the address of its host without a login.
type ConflictChecker interface {
	// CheckConflict is called when a host that was verified cannot be reached. The error
	// is an [ErrAddressConflict] if another machine has the address. Other errors are
	// ignored.
	CheckConflict(ctx context.Context) error
}

// HostKeyer is implemented by an instance that knows the SSH host key of its host
// before the first login.
type HostKeyer interface {
	// HostKey is the public key as in an authorized_keys file. The login fails if
	// the host has another one. It is "" if the key is not known: that of the first
	// login is then trusted. It is called after SetUp.
	HostKey() string
}

// ReadyChecker is implemented by an instance whose host is configured by itself
// after the first login, for instance by cloud-init.
type ReadyChecker interface {
	// AwaitReady waits until the host has finished. ctx ends after the setting
	// provision.timeout. run executes a shell command on
	// the host and returns its standard output and its exit code.
	AwaitReady(ctx context.Context, run func(ctx context.Context, cmd string) (stdout string, exitCode int, err error)) error
}

// AccountCreator is implemented by an instance whose host may create its accounts
// after its SSH server has started, as cloud-init does. Refused logins to such a host
// are tried again until provision.startTimeout expires. For any other host, refusals
// for some seconds are an error.
type AccountCreator interface{ CreatesAccounts() bool }

// Gateway is implemented by an instance whose host may only be reachable from
// another machine, such as its hypervisor.
type Gateway interface {
	// Gateway is the connection URL of that machine, or "" if it is this
	// machine. The URL may contain secrets. It may be called before SetUp.
	Gateway() (url string, err error)
}

// Attacher is implemented by an instance that can observe a host that another
// process has set up. After Attach, the other capabilities work as usual.
type Attacher interface {
	// ID identifies the host to other processes. It contains no secret.
	ID() string
	// Attach observes the host with that ID, in place of SetUp.
	Attach(ctx context.Context, id string) error
	// Detach ends that, in place of TearDown. The host is not changed.
	Detach()
}

// Keeper is implemented by an instance that can leave its host running for
// inspection.
type Keeper interface {
	// Keep leaves the host running and says how to reach and remove it; there
	// is nothing to tear down after that. If it returns "" or an error, TearDown
	// is called as usual.
	Keep(ctx context.Context) (how string, err error)
}

// Exclusive is implemented by an instance of which only one may exist at a
// time, for instance because it has a static address.
type Exclusive interface{ IsExclusive() bool }

// Persistent is implemented by an instance whose host exists before SetUp and
// after TearDown. Its host key is checked against known_hosts; that of any other
// host is trusted on first use.
type Persistent interface{ IsPersistent() bool }

// Mounter is implemented by an instance with folders that are mounted in the
// host after the first login.
type Mounter interface {
	// Mounts are the folders in the order in which they are mounted. It is
	// called after SetUp.
	Mounts() []Mount
}

// Mount is a folder to mount, as commands for the host's shell.
type Mount interface {
	// String names the folder and its mount point, for messages.
	String() string
	// MountCommand mounts it. If it was mounted before, the command prints
	// "already" and succeeds.
	MountCommand() string
	// UnmountCommand unmounts it.
	UnmountCommand() string
	// Failed is the error for a mount command that failed, from its output.
	Failed(output string) error
}

// Reserver is an optional capability of a [Provider] whose hosts need resources
// that may be in use, such as memory.
type Reserver interface {
	// Reserve waits until the resources for all instances of a batch are
	// available and reserves them, for all instances or for none. It is called
	// before the SetUp of each instance, under a context that may end. It calls
	// queued as soon as the batch has its place in the queue. An instance that
	// was not part of a batch reserves for itself in its SetUp. What is reserved
	// and not used is released by TearDown.
	Reserve(ctx context.Context, batch []Instance, queued func()) error
}

// Checker is an optional capability of a [Provider] that can check whether a
// host could be set up.
type Checker interface {
	// Check checks one thing after the other and leaves nothing behind. A check
	// that depends on one that failed is left out.
	Check(ctx context.Context, label string, section *hocon.Value) []Result
}

// Result is the result of one check.
type Result struct {
	Name    string // of the check, for instance "base domain"
	Detail  string // what was found, if the check succeeded
	Warning string // what works now but may fail later, and what to do; "" if nothing
	Err     error  // what is wrong and what to do; nil if the check succeeded
}

// Finder is implemented by an instance that can find the running hosts of its label
// that any process has set up.
type Finder interface {
	// Find returns the hosts, the newest first.
	Find(ctx context.Context) ([]Found, error)
}

// Found is a running host.
type Found struct {
	ID      string    // for [Attacher]
	Address string    // "" while it is not known
	Created time.Time // zero if it is not known
	Owner   string    // process that set it up
}
