package sshclient_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
)

// threeKeys are the host keys of a usual server.
func threeKeys(t testing.TB) []xssh.Signer {
	return []xssh.Signer{
		sshtest.NewSigner(t, xssh.KeyAlgoED25519),
		sshtest.NewSigner(t, xssh.KeyAlgoECDSA256),
		sshtest.NewSigner(t, xssh.KeyAlgoRSA),
	}
}

func TestAnyKeyOfTheServerMayBeTheKnownOne(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{HostKeys: threeKeys(t)})
	for i, keyType := range []string{xssh.KeyAlgoED25519, xssh.KeyAlgoECDSA256, xssh.KeyAlgoRSA} {
		t.Run("in known_hosts "+keyType, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "known_hosts")
			server.KnownHosts(t, file, keyType)
			connect(t, server.URL("knownHosts="+file), nil)
		})
		t.Run("by fingerprint "+keyType, func(t *testing.T) {
			connect(t, server.URL("hostKey="+server.Fingerprint(i)), nil)
		})
	}
	t.Run("by another fingerprint", func(t *testing.T) {
		err := dialError(t, t.Context(), server.URL("hostKey="+print43), nil)
		var mismatch *hostkey.MismatchError
		if !errors.As(err, &mismatch) || len(mismatch.Got) != 3 || mismatch.Want[0] != print43 {
			t.Fatalf("got %v, want a HostKeyMismatchError with the three keys of the server", err)
		}
		for i := range 3 {
			if !strings.Contains(err.Error(), server.Fingerprint(i)) {
				t.Errorf("key %d is not named in %v", i, err)
			}
		}
	})
}

func TestAnUnknownMachineShowsTheKeyThatOpenSSHAsksFor(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{HostKeys: threeKeys(t)})
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := dialError(t, t.Context(), server.URL("knownHosts="+file), nil)
	var unknown *hostkey.UnknownError
	if !errors.As(err, &unknown) || unknown.Fingerprint != server.Fingerprint(0) {
		t.Fatalf("got %v, want an UnknownError with the Ed25519 key", err)
	}
}

func TestKnownHosts(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	login := "ssh://tester@" + server.Addr + "?privateKeyFile=" + server.KeyFile

	t.Run("known", func(t *testing.T) {
		opts := lonely(t)
		server.KnownHosts(t, filepath.Join(opts.Home, ".ssh", "known_hosts"))
		connect(t, login, opts)
	})
	t.Run("unknown, with the line to add to known_hosts", func(t *testing.T) {
		opts := lonely(t)
		err := dialError(t, t.Context(), login, opts)
		var unknown *hostkey.UnknownError
		if !errors.As(err, &unknown) || unknown.Fingerprint != server.Fingerprint(0) {
			t.Fatalf("got %v, want an UnknownError with the fingerprint", err)
		}
		if !strings.Contains(err.Error(), "add hostKey="+server.Fingerprint(0)+" to the URL") {
			t.Errorf("the error does not say what to do: %v", err)
		}
		file := filepath.Join(opts.Home, ".ssh", "known_hosts")
		if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(unknown.Line+"\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		connect(t, login, opts)
	})
	t.Run("another key", func(t *testing.T) {
		other := sshtest.Start(t, sshtest.Config{})
		file := filepath.Join(t.TempDir(), "known_hosts")
		other.KnownHosts(t, file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, key, _ := strings.Cut(string(text), " ")
		host, port := server.Host(), strings.TrimPrefix(server.Addr, server.Host()+":")
		if err := os.WriteFile(file, []byte("# a comment\n["+host+"]:"+port+" "+key), 0o600); err != nil {
			t.Fatal(err)
		}
		err = dialError(t, t.Context(), server.URL("knownHosts="+file), nil)
		var mismatch *hostkey.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Got[0] != server.Fingerprint(0) || mismatch.Want[0] != other.Fingerprint(0) {
			t.Fatalf("got %v, want a HostKeyMismatchError with both fingerprints", err)
		}
		if mismatch.Where != file+" line 2" {
			t.Errorf("the error names %q as the place of the known key", mismatch.Where)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "known_hosts")
		server.KnownHosts(t, file)
		text, _ := os.ReadFile(file)
		_, key, _ := strings.Cut(string(text), " ")
		if err := os.WriteFile(file, []byte("@revoked * "+key), 0o600); err != nil {
			t.Fatal(err)
		}
		err := dialError(t, t.Context(), server.URL("knownHosts="+file), nil)
		var revoked *hostkey.RevokedError
		if !errors.As(err, &revoked) || revoked.Fingerprint != server.Fingerprint(0) {
			t.Fatalf("got %v, want a HostKeyRevokedError", err)
		}
	})
	t.Run("an invalid line", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte("what is this\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := dialError(t, t.Context(), server.URL("knownHosts="+file), nil)
		if !strings.Contains(err.Error(), file+":1") {
			t.Errorf("the error does not name file and line: %v", err)
		}
	})
	t.Run("insecure", func(t *testing.T) { connect(t, server.URL("hostKey=insecure"), nil) })
}

func TestHostCertificates(t *testing.T) {
	key, authority := sshtest.NewSigner(t, xssh.KeyAlgoED25519), sshtest.NewSigner(t, xssh.KeyAlgoECDSA256)
	cert := &xssh.Certificate{
		Key: key.PublicKey(), CertType: xssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: xssh.CertTimeInfinity,
	}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	certified, err := xssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := sshtest.Start(t, sshtest.Config{HostKeys: []xssh.Signer{key, certified}})
	known := func(line string) string {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return server.URL("knownHosts=" + file)
	}
	t.Run("of a known authority", func(t *testing.T) {
		connect(t, known("@cert-authority "+knownhosts.Line([]string{server.Addr}, authority.PublicKey())), nil)
	})
	t.Run("of another authority", func(t *testing.T) {
		other := sshtest.NewSigner(t, xssh.KeyAlgoED25519)
		err := dialError(t, t.Context(), known("@cert-authority "+knownhosts.Line([]string{server.Addr}, other.PublicKey())), nil)
		var dial *sshclient.DialError
		if !errors.As(err, &dial) || dial.Phase != sshclient.PhaseHostKey {
			t.Errorf("got %v", err)
		}
	})
	t.Run("beside a known key", func(t *testing.T) {
		connect(t, known(knownhosts.Line([]string{server.Addr}, key.PublicKey())), nil)
	})
	t.Run("beside a key that is pinned by fingerprint", func(t *testing.T) { connect(t, server.URL(), nil) })
}

func TestPin(t *testing.T) {
	keys := threeKeys(t)
	server := sshtest.Start(t, sshtest.Config{HostKeys: keys[1:]})
	login := func(s *sshtest.Server) string { return "ssh://tester@" + s.Addr + "?privateKeyFile=" + s.KeyFile }
	pin := hostkey.NewPin()
	opts := lonely(t)
	opts.HostKeys = pin
	if pin.Fingerprint() != "" {
		t.Errorf("before the first contact it has %s", pin.Fingerprint())
	}
	connect(t, login(server), opts)
	first := pin.Fingerprint()

	t.Run("the same machine again", func(t *testing.T) {
		connect(t, login(server), opts)
		if pin.Fingerprint() != first {
			t.Errorf("the pin went from %s to %s", first, pin.Fingerprint())
		}
	})
	t.Run("the same machine with one more key", func(t *testing.T) {
		connect(t, login(sshtest.Start(t, sshtest.Config{HostKeys: keys})), opts)
	})
	t.Run("another machine", func(t *testing.T) {
		other := sshtest.Start(t, sshtest.Config{})
		err := dialError(t, t.Context(), login(other), opts)
		var mismatch *hostkey.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Got[0] != other.Fingerprint(0) || mismatch.Want[0] != first {
			t.Fatalf("got %v, want a HostKeyMismatchError with both fingerprints", err)
		}
	})
	t.Run("handed to another process", func(t *testing.T) {
		text, err := pin.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var copied, empty hostkey.Pin
		if err := errors.Join(copied.UnmarshalText(text), empty.UnmarshalText(nil)); err != nil {
			t.Fatal(err)
		}
		if copied.Fingerprint() != first || empty.Fingerprint() != "" {
			t.Errorf("it arrives as %q, an empty one as %q", copied.Fingerprint(), empty.Fingerprint())
		}
		if err := copied.UnmarshalText([]byte("nonsense")); err == nil {
			t.Error("nonsense is accepted")
		}
	})
	t.Run("the URL is asked first", func(t *testing.T) {
		err := dialError(t, t.Context(), login(server)+"&hostKey="+print43, opts)
		var mismatch *hostkey.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Want[0] != print43 {
			t.Errorf("got %v", err)
		}
	})
}

func TestPinIgnoresAMachineThatRefusesTheLogin(t *testing.T) {
	early, final := sshtest.Start(t, sshtest.Config{}), sshtest.Start(t, sshtest.Config{})
	opts := lonely(t)
	pin := hostkey.NewPin()
	opts.HostKeys = pin
	// The key file is the one of the final server, so the early one refuses it.
	dialError(t, t.Context(), "ssh://tester@"+early.Addr+"?privateKeyFile="+final.KeyFile, opts)
	if got := pin.Fingerprint(); got != "" {
		t.Errorf("the key %s is pinned although the login was refused", got)
	}
	connect(t, "ssh://tester@"+final.Addr+"?privateKeyFile="+final.KeyFile, opts)
	if got := pin.Fingerprint(); got != final.Fingerprint(0) {
		t.Errorf("pinned %s, want %s", got, final.Fingerprint(0))
	}
}

func TestPinRefusesASecondKeyThatWasShownBeforeTheFirstLogin(t *testing.T) {
	pin, keys := hostkey.NewPin(), threeKeys(t)
	for _, key := range keys[:2] {
		if err := pin.Check("host:22", key.PublicKey()); err != nil {
			t.Fatal(err)
		}
	}
	if err := pin.Confirm("host:22", keys[0].PublicKey()); err != nil {
		t.Fatal(err)
	}
	if err := pin.Confirm("host:22", keys[1].PublicKey()); !errors.Is(err, hostkey.ErrMismatch) {
		t.Errorf("got %v, want a mismatch", err)
	}
}
