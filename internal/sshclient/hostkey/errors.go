package hostkey

import (
	"errors"
	"fmt"
	"strings"
)

// ErrMismatch means that a machine showed another host key than the one that is
// known or pinned for it.
var ErrMismatch = errors.New("host key mismatch")

// ErrUnknown means that no key of an existing machine is known, so that its identity
// cannot be verified.
var ErrUnknown = errors.New("unknown host key")

// An UnknownError reports that no key of a machine is known.
type UnknownError struct {
	Addr        string
	Fingerprint string   // SHA256:... of the key that the machine showed
	Line        string   // to add to known_hosts after the key was verified
	Files       []string // that were searched
}

func (e *UnknownError) Error() string {
	files := "there is no known_hosts file"
	if len(e.Files) > 0 {
		files = "it is not in " + strings.Join(e.Files, " or ")
	}
	return fmt.Sprintf("the key of %s is unknown, %s; if %s is right, add hostKey=%s to the URL, or this line to known_hosts: %s",
		e.Addr, files, e.Fingerprint, e.Fingerprint, e.Line)
}

// A MismatchError reports that a machine has another key than the known one: it was
// reinstalled, or another machine has its address.
type MismatchError struct {
	Addr  string
	Got   []string // fingerprints that the machine showed
	Want  []string // fingerprints that would be right
	Where string   // the source of Want: file and line, the URL, the first login
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s shows the key %s, but %s says %s: either the machine was installed again, and the known key must be replaced, or another machine answers at its address",
		e.Addr, strings.Join(e.Got, " and "), e.Where, strings.Join(e.Want, " or "))
}

// A RevokedError says that known_hosts forbids the machine's key.
type RevokedError struct {
	Addr, Fingerprint, Where string
}

func (e *RevokedError) Error() string {
	return fmt.Sprintf("%s shows the key %s, which %s marks as revoked", e.Addr, e.Fingerprint, e.Where)
}

// Is makes the error an [ErrUnknown].
func (e *UnknownError) Is(target error) bool { return target == ErrUnknown }

// Is makes the error an [ErrMismatch].
func (e *MismatchError) Is(target error) bool { return target == ErrMismatch }
