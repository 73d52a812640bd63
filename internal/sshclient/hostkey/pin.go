package hostkey

import (
	"bytes"
	"fmt"
	"sync"

	xssh "golang.org/x/crypto/ssh"
)

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
	return &MismatchError{
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
