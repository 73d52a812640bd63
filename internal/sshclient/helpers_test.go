package sshclient_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// lonely are options that keep this machine's own settings out of a test.
func lonely(t testing.TB) *sshclient.Options {
	return &sshclient.Options{Home: t.TempDir(), AgentSocket: sshclient.NoAgent}
}

func parse(t testing.TB, url string) sshurl.Target {
	t.Helper()
	target, err := sshurl.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func connect(t testing.TB, url string, opts *sshclient.Options) *sshclient.Client {
	t.Helper()
	if opts == nil {
		opts = lonely(t)
	}
	c, err := sshclient.Dial(t.Context(), parse(t, url), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// dialError is the failure of connecting, which must not succeed.
func dialError(t testing.TB, ctx context.Context, url string, opts *sshclient.Options) error {
	t.Helper()
	if opts == nil {
		opts = lonely(t)
	}
	c, err := sshclient.Dial(ctx, parse(t, url), opts)
	if err == nil {
		c.Close()
		t.Fatal("connected, which should have failed")
	}
	return err
}

func run(t testing.TB, c *sshclient.Client, cmd string) sshclient.Result {
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

// print43 is a fingerprint that no key has.
const print43 = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
