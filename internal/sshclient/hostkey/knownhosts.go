package hostkey

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	skeema "github.com/skeema/knownhosts"
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
	db, err := skeema.NewDB(present...)
	if err != nil {
		return nil, fmt.Errorf("reading known_hosts: %w", err)
	}
	return &knownHosts{db, present}, nil
}

type knownHosts struct {
	db    *skeema.HostKeyDB
	files []string
}

// zeroAddr is the remote address of a connection through another machine.
var zeroAddr = &net.TCPAddr{IP: net.IPv4zero}

func (k *knownHosts) Check(addr string, key xssh.PublicKey) error {
	err := k.db.HostKeyCallback()(addr, zeroAddr, key)
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

// Algorithms are those of the keys that are known for addr. If a certificate
// authority is among them, they are those of all certificates: the key in a
// certificate may have another type than the key of the authority.
func (k *knownHosts) Algorithms(addr string) []string {
	for _, key := range k.db.HostKeys(addr) {
		if key.Cert {
			return certificates
		}
	}
	return k.db.HostKeyAlgorithms(addr)
}
