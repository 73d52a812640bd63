package ssh

import (
	"errors"
	"fmt"
	"strings"
)

// ErrConnectionLost is beneath the errors of whatever was under way on a
// connection that ended, and of whatever is begun on it afterwards.
var ErrConnectionLost = errors.New("ssh connection lost")

// ErrClosed is beneath [ErrConnectionLost] when it was [Client.Close] that
// ended the connection.
var ErrClosed = errors.New("closed by this process")

// A Phase is a part of connecting that can fail.
type Phase string

// The phases, in their order.
const (
	PhaseSettings  Phase = "settings"  // ~/.ssh/config, known_hosts and key files on this machine
	PhaseName      Phase = "name"      // looking up the host's name
	PhaseConnect   Phase = "connect"   // the TCP connection
	PhaseHandshake Phase = "handshake" // agreeing on a protocol with what answers
	PhaseHostKey   Phase = "host key"  // whether it is the right machine
	PhaseLogin     Phase = "login"     // whether it lets us in
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
	return fmt.Sprintf("ssh to %s: %s: %v", e.Addr, what, e.Err)
}

func (e *DialError) Unwrap() error { return e.Err }

// A LoginError says who could not log in where, and with what it was tried.
type LoginError struct {
	User    string
	Addr    string
	Tried   []string // methods, in their order: a key with its file, password, ...
	Skipped []string // what was there but could not be used, and why
	Err     error
}

func (e *LoginError) Error() string {
	tried := "nothing to log in with was found"
	if len(e.Tried) > 0 {
		tried = "tried " + strings.Join(e.Tried, ", ")
	}
	if len(e.Skipped) > 0 {
		tried += "; not tried: " + strings.Join(e.Skipped, ", ")
	}
	return fmt.Sprintf("user %q is not let in by %s (%s): %v", e.User, e.Addr, tried, e.Err)
}

func (e *LoginError) Unwrap() error { return e.Err }

// What may be wrong with a key file; [errors.Is] finds them in a
// [*KeyFileError].
var (
	ErrKeyFileMissing    = errors.New("does not exist: check privateKeyFile")
	ErrKeyFileUnreadable = errors.New("cannot be read: check its owner and mode")
	ErrKeyEncrypted      = errors.New("is encrypted and no passphrase is given: add passphrase=... to the URL, or the key to the ssh agent")
	ErrKeyPassphrase     = errors.New("is encrypted with another passphrase than the one given")
	ErrKeyFormat         = errors.New("is no private key that can be used: give the file that ssh-keygen wrote, without .pub")
)

// A KeyFileError says which key file cannot be used, and why.
type KeyFileError struct {
	File    string
	Problem error // one of the ErrKey... values
	Err     error // what the system said, if it did
}

func (e *KeyFileError) Error() string {
	text := fmt.Sprintf("key file %s %v", e.File, e.Problem)
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	return text
}

func (e *KeyFileError) Unwrap() []error { return []error{e.Problem, e.Err} }

// A HostKeyUnknownError says that nothing is known about the key of a machine.
type HostKeyUnknownError struct {
	Addr        string
	Fingerprint string   // SHA256:... of the key that the machine showed
	Line        string   // for known_hosts, to be added once the key is found right
	Files       []string // where it was looked for
}

func (e *HostKeyUnknownError) Error() string {
	files := "there is no known_hosts file"
	if len(e.Files) > 0 {
		files = "it is not in " + strings.Join(e.Files, " or ")
	}
	return fmt.Sprintf("the key of %s is unknown, %s; if %s is right, add hostKey=%s to the URL, or this line to known_hosts: %s",
		e.Addr, files, e.Fingerprint, e.Fingerprint, e.Line)
}

// A HostKeyMismatchError says that a machine showed another key than the one
// known: it was made anew, or something else answers in its place.
type HostKeyMismatchError struct {
	Addr  string
	Got   []string // fingerprints that the machine showed
	Want  []string // fingerprints that would be right
	Where string   // who says so: file and line, the URL, the first contact
}

func (e *HostKeyMismatchError) Error() string {
	return fmt.Sprintf("%s shows the key %s, but %s says %s: either the machine was made anew, and then that has to be changed, or another machine answers in its place",
		e.Addr, strings.Join(e.Got, " and "), e.Where, strings.Join(e.Want, " or "))
}

// A HostKeyRevokedError says that known_hosts forbids the machine's key.
type HostKeyRevokedError struct {
	Addr, Fingerprint, Where string
}

func (e *HostKeyRevokedError) Error() string {
	return fmt.Sprintf("%s shows the key %s, which %s marks as revoked", e.Addr, e.Fingerprint, e.Where)
}

// An OperationError is the error of Run, Upload and Download: it names the
// operation and the machine.
type OperationError struct {
	Op  string // what was done, on which machine: uploading a to b on user@host:22
	Err error
}

func (e *OperationError) Error() string { return e.Op + ": " + e.Err.Error() }

func (e *OperationError) Unwrap() error { return e.Err }

// An OutputLimitError says that a command printed more than is kept.
type OutputLimitError struct{ Limit int }

func (e *OutputLimitError) Error() string {
	return fmt.Sprintf("the command printed more than %d bytes and was ended: send its output to a file and download that", e.Limit)
}

// An ElevationError says that sudo or su did not run the command.
type ElevationError struct {
	How    ConnectionType
	User   string // whom to become
	Reason string
	Output string // what sudo or su said
}

func (e *ElevationError) Error() string {
	text := fmt.Sprintf("connectionType %s: becoming %s: %s", e.How, e.User, e.Reason)
	if e.Output != "" {
		text += fmt.Sprintf(" (it said %q)", e.Output)
	}
	return text
}
