package virt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/internal/printable"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
)

// BaseMissingError reports that the base domain does not exist. It is a
// [provider.ErrBaseDomainMissing].
type BaseMissingError struct {
	URL, Domain string
	Known       []string // domains that the hypervisor has and overcast did not create
}

// Error names the domain, the hypervisor, the nearest domain that it has, and all of them.
func (e *BaseMissingError) Error() string {
	known := "no domain to clone is defined there"
	if len(e.Known) > 0 {
		known = "defined there: " + strings.Join(e.Known, ", ")
	}
	hint := editdistance.Suggest(e.Domain, e.Known, len(e.Domain)/3)
	return fmt.Sprintf("base domain %q does not exist at %s%s (%s): check libvirtBaseDomain and libvirtURL", redact.Text(e.Domain), redact.Text(e.URL), hint, known)
}

// Is makes the error a [provider.ErrBaseDomainMissing].
func (e *BaseMissingError) Is(target error) bool { return target == provider.ErrBaseDomainMissing }

// BaseRunningError reports that the base domain is not shut off. It is a
// [provider.ErrBaseDomainRunning].
type BaseRunningError struct {
	URL, Domain string
	State       string // as virsh shows it
}

// Error names the domain, its state, and the command that shuts it off.
func (e *BaseRunningError) Error() string {
	how := "shutdown"
	switch {
	case e.State == stateSaved:
		how = "managedsave-remove"
	case e.State != "running" && e.State != "idle":
		how = "destroy" // a guest that does not run cannot shut itself down
	}
	return fmt.Sprintf("base domain %q at %s is %s, and a clone's backing store must not change: shut it off first (virsh -c '%[2]s' %[4]s '%[1]s')",
		e.Domain, redact.Text(e.URL), e.State, how)
}

// Is makes the error a [provider.ErrBaseDomainRunning].
func (e *BaseRunningError) Is(target error) bool { return target == provider.ErrBaseDomainRunning }

// StoppedError reports that a clone has stopped, and how. It is a
// [provider.ErrHostStopped].
type StoppedError struct {
	Domain  string
	How     string   // as virsh shows it, with the cause: "shut off: the guest powered itself off"
	Console []string // last lines of its serial console; none if it has no console
	Log     []string // last lines of QEMU's log; none if it cannot be read
}

// Error names the domain and how it stopped, and shows the last lines of the console
// and of QEMU's log.
func (e *StoppedError) Error() string {
	return fmt.Sprintf("domain %s is %s%s%s", e.Domain, e.How, Quoted("last lines of the console", e.Console), Quoted("last lines of QEMU's log", e.Log))
}

// Is makes the error a [provider.ErrHostStopped].
func (e *StoppedError) Is(target error) bool { return target == provider.ErrHostStopped }

// PausedError reports that a clone is paused, why, and how to resume it. It is a
// [provider.ErrHostPaused].
type PausedError struct {
	URL, Domain string
	How         string // "paused by an administrator", "paused: I/O error of disk ..."
	Hint        string // how to resume it
	ByFault     bool   // a fault paused it, such as a full pool, and not a command
}

// Error names the domain, what paused it, and how to resume it.
func (e *PausedError) Error() string {
	return fmt.Sprintf("domain %s is %s: %s", e.Domain, e.How, e.Hint)
}

// Is makes the error a [provider.ErrHostPaused].
func (e *PausedError) Is(target error) bool { return target == provider.ErrHostPaused }

// Fault reports whether a fault paused the clone: see [provider.OutageReporter].
func (e *PausedError) Fault() bool { return e.ByFault }

// Quoted formats lines of foreign text as a block of an error message.
func Quoted(title string, lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "\n  " + title + ":\n    | " + strings.Join(lines, "\n    | ")
}

// ConnectionLostError reports that the connection to the hypervisor was lost. It is
// a [provider.ErrHypervisorNotReachable]. If libvirtd still runs, it destroys the
// clones that were started over the connection.
type ConnectionLostError struct {
	URL string
	How string // "libvirtd has closed the connection", "it has not answered for 10 seconds"
}

// Error names the hypervisor and how the connection was lost.
func (e *ConnectionLostError) Error() string {
	return fmt.Sprintf("the connection to %s was lost (%s): check that libvirtd runs there", redact.Text(e.URL), e.How)
}

// Is makes the error a [provider.ErrHypervisorNotReachable].
func (e *ConnectionLostError) Is(target error) bool {
	return target == provider.ErrHypervisorNotReachable
}

// IsCode reports whether an error is one of libvirt's with one of these codes.
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

// IsFromLibvirt reports whether an error is one of libvirt's.
func IsFromLibvirt(err error) bool {
	var from libvirt.Error
	return errors.As(err, &from)
}

// StripCodes returns an error of libvirt's that prints the message without the
// numeric codes; errors.As still finds the codes. It returns other errors unchanged.
func StripCodes(err error) error {
	return hideIn(err, "")
}

// hideIn is StripCodes that also hides the secrets of a text, such as a URL or a name,
// that the message may repeat in any form.
func hideIn(err error, known string) error {
	if from, ok := err.(libvirt.Error); ok {
		_, secrets := redact.Redact(known)
		return &libvirtError{from, secrets}
	}
	return err
}

type libvirtError struct {
	cause   libvirt.Error
	secrets []string // that the message may contain
}

// Error hides secrets: libvirt's messages repeat URLs that it cannot parse. They may
// contain text of the guest agent, whose control characters become visible.
func (e *libvirtError) Error() string {
	return "libvirt: " + printable.Excerpt(redact.Text(redact.Hide(e.cause.Message, e.secrets)))
}

func (e *libvirtError) Unwrap() error { return e.cause }

// ErrNoMetadata is the error for a domain whose metadata no longer has overcast's
// element.
var ErrNoMetadata = errors.New("it has no overcast metadata")
