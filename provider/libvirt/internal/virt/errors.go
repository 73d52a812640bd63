package virt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
)

// BaseMissingError says that there is no domain to clone. It is a
// [provider.ErrBaseDomainMissing].
type BaseMissingError struct {
	URL, Domain string
	Known       []string // domains that are defined there
}

// Error names the domain, the hypervisor, and what is defined there.
func (e *BaseMissingError) Error() string {
	known := "no domain at all is defined there"
	if len(e.Known) > 0 {
		known = "defined there: " + strings.Join(e.Known, ", ")
	}
	return fmt.Sprintf("base domain %q does not exist at %s (%s): check libvirtBaseDomain and libvirtURL", e.Domain, RedactURL(e.URL), known)
}

// Is makes the error a [provider.ErrBaseDomainMissing].
func (e *BaseMissingError) Is(target error) bool { return target == provider.ErrBaseDomainMissing }

// BaseRunningError says that the domain to clone is not shut off. It is a
// [provider.ErrBaseDomainRunning].
type BaseRunningError struct {
	URL, Domain string
	State       string // in virsh's words
}

// Error names the domain and its state, and the command that ends it.
func (e *BaseRunningError) Error() string {
	how := "shutdown"
	switch {
	case e.State == stateSaved:
		how = "managedsave-remove"
	case e.State != "running" && e.State != "idle":
		how = "destroy" // a system that does not run cannot be asked
	}
	return fmt.Sprintf("base domain %q at %s is %s, and a clone's backing store must not change: shut it off first (virsh -c '%[2]s' %[4]s '%[1]s')",
		e.Domain, RedactURL(e.URL), e.State, how)
}

// Is makes the error a [provider.ErrBaseDomainRunning].
func (e *BaseRunningError) Is(target error) bool { return target == provider.ErrBaseDomainRunning }

// StoppedError says that a clone has stopped, and how. It is a
// [provider.ErrHostStopped].
type StoppedError struct {
	Domain  string
	How     string   // in virsh's words, with the cause: "shut off: the guest powered itself off"
	Console []string // the last lines of its serial console; none if it has none
	Log     []string // the last lines of QEMU's log; none if it cannot be read
}

// Error names the domain, how it stopped, and last lines of the console and
// of QEMU's log.
func (e *StoppedError) Error() string {
	return fmt.Sprintf("domain %s is %s%s%s", e.Domain, e.How, Quoted("last lines of the console", e.Console), Quoted("last lines of QEMU's log", e.Log))
}

// Is makes the error a [provider.ErrHostStopped].
func (e *StoppedError) Is(target error) bool { return target == provider.ErrHostStopped }

// PausedError says that a clone is paused, by whom or what, and how to resume
// it. It is a [provider.ErrHostPaused].
type PausedError struct {
	URL, Domain string
	How         string // "paused by an administrator", "paused: I/O error of disk ..."
	Hint        string // how to resume it
	ByFault     bool   // a fault paused it, as a full pool, and not a command
}

// Error names the domain, what paused it, and how to resume it.
func (e *PausedError) Error() string {
	return fmt.Sprintf("domain %s is %s: %s", e.Domain, e.How, e.Hint)
}

// Is makes the error a [provider.ErrHostPaused].
func (e *PausedError) Is(target error) bool { return target == provider.ErrHostPaused }

// Fault reports whether a fault paused the clone: see [provider.OutageReporter].
func (e *PausedError) Fault() bool { return e.ByFault }

// quoted sets lines that somebody else has written apart from an error's own.
func Quoted(title string, lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "\n  " + title + ":\n    | " + strings.Join(lines, "\n    | ")
}

// ConnectionLostError says that the connection to the hypervisor was lost. It is
// a [provider.ErrHypervisorNotReachable]. A libvirtd that still runs destroys the
// clones that were started over the connection.
type ConnectionLostError struct {
	URL string
	How string // "libvirtd has closed the connection", "it has not answered for 10 seconds"
}

// Error names the hypervisor and how the connection was lost.
func (e *ConnectionLostError) Error() string {
	return fmt.Sprintf("the connection to %s was lost (%s): check that libvirtd runs there", RedactURL(e.URL), e.How)
}

// Is makes the error a [provider.ErrHypervisorNotReachable].
func (e *ConnectionLostError) Is(target error) bool {
	return target == provider.ErrHypervisorNotReachable
}

// isCode says whether an error is libvirt's with one of these codes.
func IsCode(err error, codes ...libvirt.ErrorNumber) bool {
	var from libvirt.Error
	if !errors.As(err, &from) {
		return false
	}
	for _, code := range codes {
		if from.Code == code {
			return true
		}
	}
	return false
}

// said is a libvirt error with libvirt's words alone: the numbers beside them
// tell nobody anything, and the error beneath has them for errors.As. Any other
// error is as it was.
func StripCodes(err error) error {
	if from, ok := err.(libvirt.Error); ok {
		return &libvirtError{from}
	}
	return err
}

type libvirtError struct{ cause libvirt.Error }

// Error has no secrets: libvirt repeats URLs that it cannot make sense of.
func (e *libvirtError) Error() string { return "libvirt: " + RedactURL(e.cause.Message) }
func (e *libvirtError) Unwrap() error { return e.cause }

// shownURL is a hypervisor's URL, or a text with one, without the password that
// it may hold.
func RedactURL(text string) string {
	shown, _ := ssh.Redact(text)
	return shown
}

// errNoMetadata says that somebody has taken our element out of a domain's
// metadata.
var ErrNoMetadata = errors.New("it has no metadata of overcast's")
