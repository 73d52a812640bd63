package credentials

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	xssh "golang.org/x/crypto/ssh"
)

// readKey reads a private key file. It is a [*KeyFileError] that it fails
// with. For an encrypted OpenSSH key without a passphrase the public half is
// returned with the error, as it is not encrypted.
func readKey(file string, passphrase redact.Secret) (xssh.Signer, xssh.PublicKey, error) {
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, &KeyFileError{file, ErrKeyFileMissing, nil}
	case err != nil:
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, nil, &KeyFileError{file, ErrKeyFileUnreadable, err}
	}
	signer, err := xssh.ParsePrivateKey(text)
	var missing *xssh.PassphraseMissingError
	if !errors.As(err, &missing) {
		return signer, nil, formatError(file, text, err)
	}
	if !passphrase.IsSet() {
		return nil, missing.PublicKey, &KeyFileError{file, ErrKeyEncrypted, nil}
	}
	signer, err = xssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase.Reveal()))
	// What a wrong passphrase makes of an old PEM file may look right but for
	// what is in it.
	old := bytes.Contains(text, []byte("\nProc-Type: 4,ENCRYPTED"))
	if errors.Is(err, x509.IncorrectPasswordError) || err != nil && old {
		return nil, nil, &KeyFileError{file, ErrKeyPassphrase, nil}
	}
	return signer, nil, formatError(file, text, err)
}

// formatError leaves out what the parser says of keys that it does know: that
// may quote the file.
func formatError(file string, text []byte, err error) error {
	switch {
	case err == nil:
		return nil
	case bytes.Contains(text, []byte("BEGIN ENCRYPTED PRIVATE KEY")):
		return &KeyFileError{file, ErrKeyFormat, errors.New("encrypted PKCS#8 is not supported: `ssh-keygen -p -f FILE` rewrites it")}
	}
	return &KeyFileError{file, ErrKeyFormat, nil}
}

// CheckKeyFile says what is wrong with the key file that a target names, as a
// [*KeyFileError]. An encrypted one is not wrong if the ssh agent has its key; a target
// that names none has none that could be.
func CheckKeyFile(ctx context.Context, t sshurl.Target) error {
	if t.PrivateKeyFile == "" {
		return nil
	}
	s, err := sshconfig.Read(sshconfig.Options{})
	if err != nil {
		return err
	}
	_, public, err := readKey(s.ExpandHome(t.PrivateKeyFile), t.Passphrase())
	if public == nil {
		return err
	}
	resolved, resolveErr := s.Resolve(ctx, t, nil)
	if resolveErr != nil {
		return resolveErr
	}
	var c Credentials
	defer c.Close()
	if _, found := find(c.askAgent(ctx, cmp.Or(resolved.Agent, os.Getenv("SSH_AUTH_SOCK"))), public); found {
		return nil
	}
	return err
}
