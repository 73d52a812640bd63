package hostkey

import (
	"bytes"
	"fmt"
	"sync"

	xssh "golang.org/x/crypto/ssh"
)

// A Pin accepts the key of the first login to a machine, and from then on no
// other: one Pin for each clone, for as long as the clone exists. It may be used by
// several goroutines, and sent to another process as text.
type Pin struct {
	mu  sync.Mutex
	key xssh.PublicKey
}

// NewPin returns a Pin for a machine whose key is not known.
func NewPin() *Pin { return new(Pin) }

// Check accepts any key until one is pinned, and then only that one.
func (p *Pin) Check(addr string, key xssh.PublicKey) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		return nil
	}
	return p.compare(addr, key)
}

// Confirm pins the key, or fails if another one is pinned. A key is pinned only
// after a login: what answers before, such as the sshd of an initial RAM disk or
// one whose keys are about to be replaced, accepts no login.
func (p *Pin) Confirm(addr string, key xssh.PublicKey) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		p.key = key
	}
	return p.compare(addr, key)
}

func (p *Pin) compare(addr string, key xssh.PublicKey) error {
	if bytes.Equal(p.key.Marshal(), key.Marshal()) {
		return nil
	}
	return &MismatchError{
		Addr:  addr,
		Got:   []string{xssh.FingerprintSHA256(key)},
		Want:  []string{xssh.FingerprintSHA256(p.key)},
		Where: "the first login to this machine",
	}
}

// Algorithms are those of the pinned key.
func (p *Pin) Algorithms(string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		return nil
	}
	return signatures(p.key.Type())
}

// Fingerprint is that of the pinned key, or "".
func (p *Pin) Fingerprint() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		return ""
	}
	return xssh.FingerprintSHA256(p.key)
}

// MarshalText is the pinned key in the format of authorized_keys, or nothing.
func (p *Pin) MarshalText() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		return []byte{}, nil
	}
	return bytes.TrimSpace(xssh.MarshalAuthorizedKey(p.key)), nil
}

// UnmarshalText pins the key that MarshalText returned.
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
