package ssh_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/overcast-go/overcast/internal/ssh"
)

// lonely are options that keep this machine's own settings out of a test.
func lonely(t testing.TB) *ssh.Options {
	return &ssh.Options{Home: t.TempDir(), AgentSocket: ssh.NoAgent}
}

func parse(t testing.TB, url string) ssh.Target {
	t.Helper()
	target, err := ssh.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func connect(t testing.TB, url string, opts *ssh.Options) *ssh.Client {
	t.Helper()
	if opts == nil {
		opts = lonely(t)
	}
	c, err := ssh.Dial(t.Context(), parse(t, url), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// dialError is the failure of connecting, which must not succeed.
func dialError(t testing.TB, ctx context.Context, url string, opts *ssh.Options) error {
	t.Helper()
	if opts == nil {
		opts = lonely(t)
	}
	c, err := ssh.Dial(ctx, parse(t, url), opts)
	if err == nil {
		c.Close()
		t.Fatal("connected, which should have failed")
	}
	return err
}

func run(t testing.TB, c *ssh.Client, cmd string) ssh.Result {
	t.Helper()
	r, err := c.Run(t.Context(), cmd)
	if err != nil {
		t.Fatalf("running %q: %v", cmd, err)
	}
	return r
}

// lockedKey copies testdata/locked to a file: a key that ssh-keygen made with
// the passphrase hunter2, and only one round of key derivation, as the usual
// number takes a second with the race detector.
func lockedKey(t testing.TB, file string) (xssh.PublicKey, any) {
	t.Helper()
	text, err := os.ReadFile("testdata/locked")
	if err != nil {
		t.Fatal(err)
	}
	key, err := xssh.ParseRawPrivateKeyWithPassphrase(text, []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey(), key
}
