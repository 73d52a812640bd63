package sshclient_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
)

func TestDialSaysWhichPhaseFailed(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{Password: "hunter2"})
	closed := listen(t, nil)
	closed.Close()
	babble := listen(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); c.Close() })
	silent := listen(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	missing := filepath.Join(t.TempDir(), "id_rsa")
	for _, tc := range []struct {
		name, url string
		phase     sshclient.Phase
		want      string
	}{
		{"settings", "ssh://user@" + server.Addr + "?privateKeyFile=" + missing, sshclient.PhaseSettings, "key file " + missing + " does not exist"},
		{"a known_hosts file that is not there", server.URL("knownHosts=" + missing), sshclient.PhaseSettings, "parameter knownHosts"},
		{"name", "ssh://user@no-such-host.invalid", sshclient.PhaseName, "looking up the name"},
		{"connect", "ssh://user@" + closed.Addr().String(), sshclient.PhaseConnect, "connection refused"},
		{"handshake with something else", "ssh://user@" + babble.Addr().String(), sshclient.PhaseHandshake, "handshake"},
		{"handshake with nothing", "ssh://user@" + silent.Addr().String() + "?connectionTimeoutMillis=3000", sshclient.PhaseHandshake, "not done within 3s"},
		{"host key", server.URL("hostKey=" + print43), sshclient.PhaseHostKey, print43},
		{"login", strings.Replace(server.URL(), "tester", "nobody", 1), sshclient.PhaseLogin, `user "nobody" was refused by ` + server.Addr},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := dialError(t, t.Context(), tc.url, nil)
			var dial *sshclient.DialError
			if !errors.As(err, &dial) || dial.Phase != tc.phase || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want a failure of the phase %q with %q", err, tc.phase, tc.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// listen serves TCP connections with a function until the test ends.
func listen(t testing.TB, serve func(net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveListener(t, l, serve)
	return l
}

// serveListener serves connections, and when the test ends closes them and
// waits for their functions.
func serveListener(t testing.TB, l net.Listener, serve func(net.Conn)) {
	var tasks sync.WaitGroup
	t.Cleanup(func() { l.Close(); tasks.Wait() })
	ended := t.Context()
	tasks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ended, func() { c.Close() })()
				serve(c)
				<-ended.Done()
			})
		}
	})
}

func TestDialEndsWithItsContext(t *testing.T) {
	for _, phase := range []sshclient.Phase{sshclient.PhaseConnect, sshclient.PhaseHandshake} {
		t.Run(string(phase), func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := errors.New("enough")
			opts := lonely(t)
			silent := listen(t, func(c net.Conn) {
				io.ReadFull(c, make([]byte, 4)) // the client has begun its handshake
				cancel(stop)
			})
			if phase == sshclient.PhaseConnect {
				opts.Dialer = dialerFunc(func(ctx context.Context, _, _ string) (net.Conn, error) {
					cancel(stop)
					<-ctx.Done()
					return nil, ctx.Err()
				})
			}
			err := dialError(t, ctx, "ssh://user@"+silent.Addr().String(), opts)
			var dial *sshclient.DialError
			if !errors.Is(err, stop) || !errors.As(err, &dial) || dial.Phase != phase {
				t.Errorf("got %v, want the cause of the context in the phase %s", err, phase)
			}
		})
	}
}

func TestDialEndsWithItsContextWhenTheAgentHangs(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	opts := lonely(t)
	opts.AgentSocket = serveAgent(t, func(c net.Conn) {
		io.ReadFull(c, make([]byte, 1)) // it has been asked
		cancel(stop)
	})
	if err := dialError(t, ctx, "ssh://user@127.0.0.1:1", opts); !errors.Is(err, stop) {
		t.Errorf("got %v, want the cause of the context", err)
	}
}

type dialerFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (f dialerFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

func TestDialEndsWithItsContextDuringLogin(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	server := sshtest.Start(t, sshtest.Config{})
	opts := lonely(t)
	opts.HostKeys = hostKeysFunc(func() {
		server.Freeze()
		cancel(stop)
	})
	url := "ssh://tester@" + server.Addr + "?privateKeyFile=" + server.KeyFile
	if err := dialError(t, ctx, url, opts); !errors.Is(err, stop) {
		t.Errorf("got %v, want the cause of the context", err)
	}
}

// hostKeysFunc accepts any key. It is called for each check.
type hostKeysFunc func()

func (f hostKeysFunc) Check(string, xssh.PublicKey) error { f(); return nil }
func (f hostKeysFunc) Algorithms(string) []string         { return nil }

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(file(name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	key, _ := lockedKey(t, file("locked"))
	old, err := os.ReadFile("testdata/locked.pem")
	if err != nil {
		t.Fatal(err)
	}
	write("old", string(old), 0o600)
	write("garbage", "hunter2", 0o600)
	write("public", string(xssh.MarshalAuthorizedKey(key)), 0o600)
	write("pkcs8", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", 0o600)
	server := sshtest.Start(t, sshtest.Config{Keys: []xssh.PublicKey{key}})
	url := func(name, passphrase string) string {
		u := server.URL("privateKeyFile=" + file(name))
		if passphrase != "" {
			u += "&passphrase=" + passphrase
		}
		return u
	}
	t.Run("encrypted with the right passphrase", func(t *testing.T) { connect(t, url("locked", "hunter2"), nil) })
	t.Run("an old PEM file with the right passphrase", func(t *testing.T) {
		// It can be read, though the server does not know it.
		err := dialError(t, t.Context(), url("old", "hunter2"), nil)
		var e *sshclient.LoginError
		if !errors.As(err, &e) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not encrypted with a passphrase", func(t *testing.T) { connect(t, server.URL("passphrase=unneeded"), nil) })
	t.Run("below the home directory", func(t *testing.T) {
		opts := lonely(t)
		opts.Home = dir
		connect(t, server.URL("privateKeyFile=~/locked", "passphrase=hunter2"), opts)
	})
	for _, tc := range []struct {
		name, file, passphrase string
		want                   error
	}{
		{"not there", "missing", "", credentials.ErrKeyFileMissing},
		{"a folder", ".", "", credentials.ErrKeyFileUnreadable},
		{"encrypted without a passphrase", "locked", "", credentials.ErrKeyEncrypted},
		{"encrypted with a wrong passphrase", "locked", "hunter3", credentials.ErrKeyPassphrase},
		{"an old PEM file without a passphrase", "old", "", credentials.ErrKeyEncrypted},
		{"an old PEM file with a wrong passphrase", "old", "hunter3", credentials.ErrKeyPassphrase},
		{"no key", "garbage", "", credentials.ErrKeyFormat},
		{"a public key", "public", "", credentials.ErrKeyFormat},
		{"encrypted PKCS#8", "pkcs8", "hunter2", credentials.ErrKeyFormat},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := dialError(t, t.Context(), url(tc.file, tc.passphrase), nil)
			var keyFile *credentials.KeyFileError
			if !errors.Is(err, tc.want) || !errors.As(err, &keyFile) || keyFile.File != file(tc.file) && keyFile.File != dir+"/." {
				t.Fatalf("got %v, want a KeyFileError with %v", err, tc.want)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestUnreadableKeyFile(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read any file")
	}
	file := filepath.Join(t.TempDir(), "id_rsa")
	sshtest.WriteKey(t, file, "")
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	err := dialError(t, t.Context(), "ssh://user@localhost?privateKeyFile="+file, nil)
	if !errors.Is(err, credentials.ErrKeyFileUnreadable) {
		t.Errorf("got %v, want ErrKeyFileUnreadable", err)
	}
}

func TestPasswords(t *testing.T) {
	for _, tc := range []struct {
		name        string
		interactive bool
		tried       string
	}{
		{"password", false, "password"},
		{"keyboard-interactive", true, "keyboard-interactive"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := sshtest.Start(t, sshtest.Config{Password: "hunter2", KeyboardInteractive: tc.interactive})
			login := func(password string) string {
				return "ssh://tester:" + password + "@" + server.Addr + "?hostKey=insecure"
			}
			connect(t, login("hunter2"), nil)
			err := dialError(t, t.Context(), login("hunter3"), nil)
			var e *sshclient.LoginError
			if !errors.As(err, &e) || !slices.Contains(e.Tried, tc.tried) || e.User != "tester" || e.Addr != server.Addr {
				t.Fatalf("got %#v, want a LoginError that names user, host and %s", err, tc.tried)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestLoginErrorNamesWhatWasNotTried(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	opts := lonely(t)
	lockedKey(t, filepath.Join(opts.Home, ".ssh", "id_rsa"))
	opts.AgentSocket = filepath.Join(t.TempDir(), "no-agent")
	err := dialError(t, t.Context(), "ssh://tester@"+server.Addr+"?hostKey=insecure", opts)
	var e *sshclient.LoginError
	if !errors.As(err, &e) || len(e.Tried) != 0 || len(e.Skipped) != 2 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"the ssh agent", "id_rsa is encrypted and no passphrase is given", "found no key and no password", "the server offers publickey"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestLoginErrorNamesTheMethodsOfTheServer(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{Password: "sesame"})
	err := dialError(t, t.Context(), "ssh://tester@"+server.Addr+"?hostKey=insecure", nil)
	var login *sshclient.LoginError
	if !errors.As(err, &login) || !errors.Is(err, sshclient.ErrLoginRefused) {
		t.Fatalf("got %v, want a refused login", err)
	}
	if !slices.Contains(login.Offered, "password") || !strings.Contains(err.Error(), "the server offers ") {
		t.Errorf("the error does not name the methods of the server: %v", err)
	}
}

func TestLoginErrorSaysThatThePasswordWasNotTried(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	err := dialError(t, t.Context(), "ssh://tester:sesame@"+server.Addr+"?hostKey=insecure", nil)
	if !strings.Contains(err.Error(), "the password (the server accepts no password)") || strings.Contains(err.Error(), "sesame") {
		t.Errorf("got %v", err)
	}
}
