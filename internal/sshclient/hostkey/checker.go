// Package hostkey decides whether the host key of a machine is the right one: by
// known_hosts files, by a fingerprint, or by the key of the first contact.
package hostkey

import (
	xssh "golang.org/x/crypto/ssh"
)

// Checker decides whether a machine is the right one.
type Checker interface {
	// Check judges the key that the machine at addr (host:port) has proved to
	// hold.
	Check(addr string, key xssh.PublicKey) error
	// KeyTypes are the types of key (ssh-ed25519, ...) that Check may accept
	// for addr. A machine with several keys shows only one, so these are
	// asked for first. None means that the type does not matter. A
	// certificate is asked for only when its type is among them.
	KeyTypes(addr string) []string
}

// A Judge may want to see another key of the machine when it does not
// accept the one shown.
type Judge interface {
	Checker
	// WantsAnother reports whether a key of another type may be right.
	WantsAnother() bool
}

// AcceptAny accepts any key.
func AcceptAny() Checker { return anyKey{} }

type anyKey struct{}

func (anyKey) Check(string, xssh.PublicKey) error { return nil }
func (anyKey) KeyTypes(string) []string           { return nil }

// Fingerprint accepts only the key with this fingerprint (SHA256:...).
func Fingerprint(fingerprint string) Checker { return fingerprintKey(fingerprint) }

type fingerprintKey string

func (f fingerprintKey) Check(addr string, key xssh.PublicKey) error {
	if got := xssh.FingerprintSHA256(key); got != string(f) {
		return &MismatchError{Addr: addr, Got: []string{got}, Want: []string{string(f)}, Where: "hostKey in the URL"}
	}
	return nil
}

// KeyTypes cannot tell: a fingerprint does not say the type of its key.
func (fingerprintKey) KeyTypes(string) []string { return nil }

func (fingerprintKey) WantsAnother() bool { return true }
