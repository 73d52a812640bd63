// Package hostkey decides whether the host key of a machine is the right one: by
// known_hosts files, by a fingerprint, or by the key of the first login.
package hostkey

import (
	xssh "golang.org/x/crypto/ssh"
)

// A Checker decides whether the host key of a machine is the right one.
type Checker interface {
	// Check judges the key that the machine at addr (host:port) has proved to
	// hold.
	Check(addr string, key xssh.PublicKey) error
	// Algorithms are the host key algorithms that the client prefers: those of
	// keys that Check accepts, because a machine with several keys shows only one.
	// Without any, the order does not matter. Certificates are requested only if
	// their algorithms are among them.
	Algorithms(addr string) []string
}

// A Confirmer is a [Checker] that learns the key of a machine. Confirm is called
// with a key that Check has accepted, after a login with it has succeeded. An error
// ends the connection.
type Confirmer interface {
	Checker
	Confirm(addr string, key xssh.PublicKey) error
}

// A Judge is a [Checker] that may want to see another key of the machine when it
// does not accept the one shown.
type Judge interface {
	Checker
	// WantsAnother reports whether a key of another type may be right.
	WantsAnother() bool
}

// AcceptAny accepts any key.
func AcceptAny() Checker { return anyKey{} }

type anyKey struct{}

func (anyKey) Check(string, xssh.PublicKey) error { return nil }
func (anyKey) Algorithms(string) []string         { return nil }

// Fingerprint accepts only the key with this fingerprint (SHA256:...).
func Fingerprint(fingerprint string) Checker { return fingerprintKey(fingerprint) }

type fingerprintKey string

func (f fingerprintKey) Check(addr string, key xssh.PublicKey) error {
	if got := xssh.FingerprintSHA256(key); got != string(f) {
		return &MismatchError{Addr: addr, Got: []string{got}, Want: []string{string(f)}, Where: "hostKey in the URL"}
	}
	return nil
}

// Algorithms is empty: a fingerprint does not contain the type of its key.
func (fingerprintKey) Algorithms(string) []string { return nil }

func (fingerprintKey) WantsAnother() bool { return true }
