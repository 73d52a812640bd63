package sshtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
)

// NewKey makes a private key of a type: ssh-ed25519, ecdsa-sha2-nistp256 or
// ssh-rsa.
func NewKey(t testing.TB, keyType string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch keyType {
	case ssh.KeyAlgoED25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case ssh.KeyAlgoECDSA256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ssh.KeyAlgoRSA:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("no key type %q", keyType)
	}
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return key
}

// NewSigner is NewKey as the ssh package wants it.
func NewSigner(t testing.TB, keyType string) ssh.Signer {
	t.Helper()
	signer, err := ssh.NewSignerFromSigner(NewKey(t, keyType))
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return signer
}

// WriteKey makes an ed25519 key and writes it to a file as ssh-keygen does,
// encrypted if there is a passphrase.
func WriteKey(t testing.TB, file, passphrase string) ssh.PublicKey {
	t.Helper()
	key := NewKey(t, ssh.KeyAlgoED25519)
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "sshtest")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "sshtest", []byte(passphrase))
	}
	if err != nil {
		t.Fatalf("encoding a key: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}
