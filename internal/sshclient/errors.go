package sshclient

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/overcast-go/overcast/internal/printable"
	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// ErrConnectionLost means that the connection has ended. The errors of operations that
// were in progress, and of later ones, wrap it.
var ErrConnectionLost = errors.New("ssh connection lost")

// ErrClosed means that [Client.Close] has ended the connection. The errors wrap it
// together with [ErrConnectionLost].
var ErrClosed = errors.New("closed by this process")

// ErrLoginRefused means that a machine refused every method of logging in.
var ErrLoginRefused = errors.New("login refused")

// A Phase is a part of connecting that can fail.
type Phase string

// The phases, in their order.
const (
	PhaseSettings  Phase = "settings"  // ~/.ssh/config, known_hosts and key files on this machine
	PhaseName      Phase = "name"      // looking up the host's name
	PhaseConnect   Phase = "connect"   // the TCP connection
	PhaseHandshake Phase = "handshake" // the SSH protocol, before the host key
	PhaseHostKey   Phase = "host key"  // the check of the host key
	PhaseLogin     Phase = "login"     // the authentication
)

// A DialError says which part of connecting to which address failed.
type DialError struct {
	Phase Phase
	Addr  string // host:port
	Err   error
}

func (e *DialError) Error() string {
	what := map[Phase]string{
		PhaseSettings:  "settings on this machine",
		PhaseName:      "looking up the name",
		PhaseConnect:   "connecting",
		PhaseHandshake: "handshake",
		PhaseHostKey:   "host key",
		PhaseLogin:     "login",
	}[e.Phase]
	return fmt.Sprintf("ssh to %s: %s: %s", e.Addr, what, printable.Excerpt(dialText(e.Err)))
}

// dialText is the text of an error without what package net says about the call that
// failed: a [DialError] names the address.
func dialText(err error) string {
	text := err.Error()
	var dial *net.OpError
	if !errors.As(err, &dial) || dial.Op != "dial" {
		return text
	}
	cause := strings.TrimPrefix(dial.Err.Error(), "connect: ")
	if dial.Timeout() {
		cause = "no answer in time"
	}
	return strings.Replace(text, dial.Error(), cause, 1)
}

func (e *DialError) Unwrap() error { return e.Err }

// A LoginError names the user and the machine of a failed login, and what was tried.
type LoginError struct {
	User    string
	Addr    string
	Offered []string // methods that the server offers, in the words of SSH
	Tried   []string // what was tried, in its order: a key with its file, a password
	Skipped []string // what was not tried, and why
	Banner  string   // of the server
	Err     error

	refused bool
}

func (e *LoginError) Error() string {
	details := "found no key and no password"
	if len(e.Tried) > 0 {
		details = "tried " + strings.Join(e.Tried, ", ")
	}
	if len(e.Skipped) > 0 {
		details += "; not tried: " + strings.Join(e.Skipped, ", ")
	}
	if len(e.Offered) > 0 {
		details += "; the server offers " + printable.Excerpt(strings.Join(e.Offered, ", "))
	}
	if e.Banner != "" {
		details += fmt.Sprintf("; its banner: %q", e.Banner)
	}
	if e.refused {
		return fmt.Sprintf("user %q was refused by %s (%s)", e.User, e.Addr, details)
	}
	return fmt.Sprintf("user %q could not log in to %s (%s): %v", e.User, e.Addr, details, e.Err)
}

func (e *LoginError) Unwrap() error { return e.Err }

// Is makes the error an [ErrLoginRefused] if the machine refused the login. A
// connection that was lost during the login was not refused.
func (e *LoginError) Is(target error) bool {
	return target == ErrLoginRefused && e.refused
}

// IsPermanent reports whether a retry cannot help: a key file, the settings of this
// machine, or a host key is wrong or unknown. A refused login is not permanent: the accounts of a booting machine may
// appear after its sshd.
func IsPermanent(err error) bool {
	var keyFile *credentials.KeyFileError
	var unknown *hostkey.UnknownError
	var revoked *hostkey.RevokedError
	var dial *DialError
	return errors.As(err, &keyFile) || errors.As(err, &unknown) || errors.As(err, &revoked) ||
		errors.Is(err, hostkey.ErrMismatch) || (errors.As(err, &dial) && dial.Phase == PhaseSettings)
}

// An OperationError is the error of Run, Upload and Download: it names the
// operation and the machine.
type OperationError struct {
	Op  string // what was done, on which machine: uploading a to b on user@host:22
	Err error
}

// Error shows what the machine has sent as [printable.Excerpt] does.
func (e *OperationError) Error() string { return e.Op + ": " + printable.Excerpt(e.Err.Error()) }

func (e *OperationError) Unwrap() error { return e.Err }

// An OutputLimitError says that a command printed more than is kept.
type OutputLimitError struct{ Limit int }

func (e *OutputLimitError) Error() string {
	return fmt.Sprintf("the command printed more than %d bytes and was ended: send its output to a file and download that", e.Limit)
}

// An ElevationError says that sudo or su did not run the command.
type ElevationError struct {
	How    sshurl.ConnectionType
	User   string // that the command was to run as
	Reason string
	Output string // of sudo or su
}

func (e *ElevationError) Error() string {
	text := fmt.Sprintf("connectionType %s: becoming %s: %s", e.How, e.User, e.Reason)
	if e.Output != "" {
		text += fmt.Sprintf(" (output: %.500q)", e.Output)
	}
	return text
}
