package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// insecure is the value of hostKey that accepts any key.
const insecure = "insecure"

// HostKeys decides whether a machine is the right one.
type HostKeys interface {
	// Check judges the key that the machine at addr (host:port) has proved to
	// hold.
	Check(addr string, key xssh.PublicKey) error
	// KeyTypes are the types of key (ssh-ed25519, ...) that Check may accept
	// for addr. A machine with several keys shows only one, so these are
	// asked for first. None means that the type does not matter. A
	// certificate is asked for only when its type is among them.
	KeyTypes(addr string) []string
}

// A hostKeyJudge may want to see another key of the machine when it does not
// accept the one shown.
type hostKeyJudge interface {
	HostKeys
	// wantsAnother reports whether a key of another type may be right.
	wantsAnother() bool
}

// InsecureHostKeys accepts any key.
func InsecureHostKeys() HostKeys { return anyKey{} }

type anyKey struct{}

func (anyKey) Check(string, xssh.PublicKey) error { return nil }
func (anyKey) KeyTypes(string) []string           { return nil }

// FingerprintHostKeys accepts only the key with this fingerprint (SHA256:...).
func FingerprintHostKeys(fingerprint string) HostKeys { return fingerprintKey(fingerprint) }

type fingerprintKey string

func (f fingerprintKey) Check(addr string, key xssh.PublicKey) error {
	if got := xssh.FingerprintSHA256(key); got != string(f) {
		return &HostKeyMismatchError{Addr: addr, Got: []string{got}, Want: []string{string(f)}, Where: "hostKey in the URL"}
	}
	return nil
}

// KeyTypes cannot tell: a fingerprint does not say the type of its key.
func (fingerprintKey) KeyTypes(string) []string { return nil }

func (fingerprintKey) wantsAnother() bool { return true }

// KnownHosts checks keys against known_hosts files. Files that do not exist
// are left out; if none does, every key is unknown.
func KnownHosts(files ...string) (HostKeys, error) {
	var present []string
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			present = append(present, file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("known_hosts file: %w", err)
		}
	}
	check, err := knownhosts.New(present...)
	if err != nil {
		return nil, fmt.Errorf("reading known_hosts: %w", err)
	}
	return &knownHosts{check, present}, nil
}

type knownHosts struct {
	check xssh.HostKeyCallback
	files []string
}

// nowhere stands in for the remote address, which known_hosts is not asked
// about: through another machine there is none.
var nowhere = &net.TCPAddr{IP: net.IPv4zero}

func (k *knownHosts) Check(addr string, key xssh.PublicKey) error {
	err := k.check(addr, nowhere, key)
	got := xssh.FingerprintSHA256(key)
	var wrong *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		return &HostKeyRevokedError{addr, got, place(revoked.Revoked)}
	case !errors.As(err, &wrong):
		return err
	case len(wrong.Want) == 0:
		line := knownhosts.Line([]string{addr}, key)
		return &HostKeyUnknownError{Addr: addr, Fingerprint: got, Line: line, Files: k.files}
	}
	mismatch := &HostKeyMismatchError{Addr: addr, Got: []string{got}, Where: place(wrong.Want[0])}
	for _, w := range wrong.Want {
		mismatch.Want = append(mismatch.Want, xssh.FingerprintSHA256(w.Key))
	}
	return mismatch
}

func place(k knownhosts.KnownKey) string { return fmt.Sprintf("%s line %d", k.Filename, k.Line) }

// KeyTypes finds what is known by asking about a key that nobody has.
func (k *knownHosts) KeyTypes(addr string) []string {
	var wrong *knownhosts.KeyError
	if !errors.As(k.check(addr, nowhere, nobodysKey{}), &wrong) {
		return nil
	}
	var types []string
	for _, w := range wrong.Want {
		if isAuthority(w) {
			return certificates
		}
		if !slices.Contains(types, w.Key.Type()) {
			types = append(types, w.Key.Type())
		}
	}
	return types
}

// isAuthority reports whether a line is for keys that sign host keys, which
// knownhosts does not tell.
func isAuthority(k knownhosts.KnownKey) bool {
	text, err := os.ReadFile(k.Filename)
	lines := bytes.Split(text, []byte("\n"))
	return err == nil && k.Line <= len(lines) &&
		bytes.HasPrefix(bytes.TrimSpace(lines[k.Line-1]), []byte("@cert-authority"))
}

type nobodysKey struct{}

func (nobodysKey) Type() string                         { return "nobody's" }
func (nobodysKey) Marshal() []byte                      { return []byte("nobody's") }
func (nobodysKey) Verify([]byte, *xssh.Signature) error { return errors.New("nobody's key") }

// A Pin accepts the key that a machine shows on first contact, and from then
// on no other: one Pin for each clone, for as long as the clone lives. It may
// be used by several goroutines, and handed to another process as text.
type Pin struct {
	mu  sync.Mutex
	key xssh.PublicKey
}

// NewPin is a Pin for a machine that was not met yet.
func NewPin() *Pin { return new(Pin) }

// Check accepts and keeps the first key, and then only that.
func (p *Pin) Check(addr string, key xssh.PublicKey) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		p.key = key
	}
	if bytes.Equal(p.key.Marshal(), key.Marshal()) {
		return nil
	}
	return &HostKeyMismatchError{
		Addr:  addr,
		Got:   []string{xssh.FingerprintSHA256(key)},
		Want:  []string{xssh.FingerprintSHA256(p.key)},
		Where: "the first contact with this machine",
	}
}

// KeyTypes is the type of the key kept, if there is one.
func (p *Pin) KeyTypes(string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		return nil
	}
	return []string{p.key.Type()}
}

// Fingerprint is that of the key kept, or "".
func (p *Pin) Fingerprint() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		return ""
	}
	return xssh.FingerprintSHA256(p.key)
}

// MarshalText is the key kept as in an authorized_keys file, or nothing.
func (p *Pin) MarshalText() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		return []byte{}, nil
	}
	return bytes.TrimSpace(xssh.MarshalAuthorizedKey(p.key)), nil
}

// UnmarshalText pins what MarshalText gave.
func (p *Pin) UnmarshalText(text []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(text) == 0 {
		p.key = nil
		return nil
	}
	key, _, _, _, err := xssh.ParseAuthorizedKey(text)
	if err != nil {
		return fmt.Errorf("pinned host key: %w", err)
	}
	p.key = key
	return nil
}
