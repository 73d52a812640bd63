package cloudinit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// HostKey is an SSH host key of a clone. No verb of package fmt shows its private
// half.
type HostKey struct {
	// Type is the name that cloud-init has for it: ed25519 or ecdsa.
	Type string
	// Public is the public key as in authorized_keys, without a comment.
	Public string
	// Fingerprint is that of the public key, SHA256:...
	Fingerprint string

	// private returns the private key in the format of OpenSSH. It is a function
	// because package fmt prints only the address of one.
	private func() []byte
}

// PrivateKey returns the private key in the format of OpenSSH.
func (k HostKey) PrivateKey() []byte { return k.private() }

// String returns the type and the fingerprint.
func (k HostKey) String() string { return k.Type + " " + k.Fingerprint }

// GenerateHostKeys returns a new key of type ed25519, and one of type ecdsa for
// clients that do not support the first.
func GenerateHostKeys() ([]HostKey, error) {
	_, first, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating SSH host keys: %w", err)
	}
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating SSH host keys: %w", err)
	}
	var keys []HostKey
	for _, generated := range []struct {
		kind string
		key  crypto.Signer
	}{{"ed25519", first}, {"ecdsa", second}} {
		key, err := newHostKey(generated.kind, generated.key)
		if err != nil {
			return nil, fmt.Errorf("generating SSH host keys: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func newHostKey(kind string, key crypto.Signer) (HostKey, error) {
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return HostKey{}, err
	}
	private, err := marshalPrivate(key, "")
	if err != nil {
		return HostKey{}, err
	}
	return HostKey{
		Type:        kind,
		Public:      authorizedLine(public),
		Fingerprint: ssh.FingerprintSHA256(public),
		private:     func() []byte { return private },
	}, nil
}

func marshalPrivate(key crypto.Signer, comment string) ([]byte, error) {
	block, err := ssh.MarshalPrivateKey(key, comment)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}

func authorizedLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// Key is a key pair for the login in a file.
type Key struct {
	// Path is the file with the private key, in the format of OpenSSH.
	Path string
	// Public is a line for authorized_keys.
	Public string
	// Fingerprint is that of the public key, SHA256:...
	Fingerprint string
}

// A KeyError reports a file that cannot be used as the key for the login.
type KeyError struct {
	Path    string
	Problem string
	Err     error // of the file system; may be nil
}

func (e *KeyError) Error() string {
	text := fmt.Sprintf("login key %s: %s", e.Path, e.Problem)
	if e.Err != nil {
		text += fmt.Sprintf(": %v", e.Err)
	}
	return text
}

// Unwrap returns the error of the file system.
func (e *KeyError) Unwrap() error { return e.Err }

// DefaultKeyDir returns the folder of the user's login key: overcast/ssh in
// [os.UserCacheDir].
func DefaultKeyDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder of the login key: %w: set HOME or XDG_CACHE_HOME", err)
	}
	return filepath.Join(dir, "overcast", "ssh"), nil
}

const keyName = "id_ed25519"

// LoginKeyPath returns the path of the key that [LoginKey] creates in a folder.
func LoginKeyPath(dir string) string { return filepath.Join(dir, keyName) }

// LoginKey returns the key for logins to clones, an ed25519 key in the folder dir.
// It creates the key if there is none: the folder with mode 0700, the file with
// mode 0600. Processes that call it at the same time get the same key. It fails
// with a [*KeyError].
func LoginKey(dir string) (Key, error) {
	path := filepath.Join(dir, keyName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Key{}, &KeyError{path, "its folder cannot be created", err}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return Key{}, &KeyError{path, "its folder is accessible to other users", err}
	}
	key, err := readLoginKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := createLoginKey(dir, path); err != nil {
		return Key{}, &KeyError{path, "it cannot be created", err}
	}
	return readLoginKey(path)
}

func readLoginKey(path string) (Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, &KeyError{path, "it cannot be read", reason(err)}
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return Key{}, &KeyError{path, fmt.Sprintf("its mode is %v, so that other users could have read it: remove it, and overcast creates a new one", info.Mode()), nil}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, &KeyError{path, "it cannot be read", reason(err)}
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil { // whose text may quote the file
		return Key{}, &KeyError{path, "it is not a private key without a passphrase: remove it, and overcast creates a new one", nil}
	}
	public := signer.PublicKey()
	return Key{Path: path, Public: authorizedLine(public) + " overcast", Fingerprint: ssh.FingerprintSHA256(public)}, nil
}

// createLoginKey creates the file unless it exists. A link appears at once and
// complete, and fails if there is a file.
func createLoginKey(dir, path string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	text, err := marshalPrivate(key, "overcast")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, keyName+"-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// reason drops the path that the os package puts before an error.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
