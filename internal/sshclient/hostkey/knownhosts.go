package hostkey

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// KnownHosts checks keys against known_hosts files. Files that do not exist
// are left out; if none does, every key is unknown.
func KnownHosts(files ...string) (Checker, error) {
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
		return &RevokedError{addr, got, place(revoked.Revoked)}
	case !errors.As(err, &wrong):
		return err
	case len(wrong.Want) == 0:
		line := knownhosts.Line([]string{addr}, key)
		return &UnknownError{Addr: addr, Fingerprint: got, Line: line, Files: k.files}
	}
	mismatch := &MismatchError{Addr: addr, Got: []string{got}, Where: place(wrong.Want[0])}
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
