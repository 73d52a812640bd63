package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// existing is a host that exists before its set-up.
type existing struct{ machine }

func (*existing) IsPersistent() bool { return true }

// seeded is a host that creates its accounts after its sshd has started.
type seeded struct{ machine }

func (*seeded) CreatesAccounts() bool { return true }

// ownHome gives the test a home directory with an ssh configuration.
func ownHome(t *testing.T, config string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	require.NoError(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte(config), 0o600))
}

// settingsFor are settings with a login.
func settingsFor(url string, startTimeout time.Duration) provider.Settings {
	settings := provider.DefaultSettings()
	settings.Connection.URL = url
	settings.Provision.StartTimeout = startTimeout
	return settings
}

func TestAwaitLoginFailsAtOnceForAnUnknownKeyOfAnExistingHost(t *testing.T) {
	ownHome(t, "")
	server := sshtest.Start(t, sshtest.Config{})
	url := "ssh://tester@" + server.Addr + "?privateKeyFile=" + server.KeyFile
	h := newHost(&existing{machine{settingsFor(url, 3*time.Second), "localhost"}})
	defer h.stop(context.Background())
	err := h.awaitLogin(t.Context())
	var unknown *hostkey.UnknownError
	require.ErrorAs(t, err, &unknown)
	assert.Contains(t, err.Error(), "after 1 attempts")
	assert.Contains(t, err.Error(), "add hostKey="+server.Fingerprint(0))
	assert.NotContains(t, err.Error(), "startTimeout")
}

func TestAwaitLoginFailsAfterThreeRefusals(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("the ssh program is not installed")
	}
	log := filepath.Join(t.TempDir(), "evaluations")
	ownHome(t, fmt.Sprintf("Match exec \"echo >> %s\"\n  ServerAliveInterval 7\n", log))
	evaluations := func() int {
		text, _ := os.ReadFile(log)
		return strings.Count(string(text), "\n")
	}
	server := sshtest.Start(t, sshtest.Config{Password: "sesame"})
	h := newHost(&machine{settingsFor(fmt.Sprintf("ssh://stranger@%s?privateKeyFile=%s", server.Addr, server.KeyFile), time.Minute), "localhost"})
	defer h.stop(context.Background())
	h.refusalLimit = 0
	target, err := h.target()
	require.NoError(t, err)
	_, err = sshclient.Resolve(t.Context(), target, nil)
	require.NoError(t, err)
	once := evaluations()
	require.NotZero(t, once)

	err = h.awaitLogin(t.Context())
	require.ErrorIs(t, err, ErrNotReachable)
	require.ErrorIs(t, err, sshclient.ErrLoginRefused)
	for _, want := range []string{
		"refused 3 times in a row", `user "stranger"`, "tried key " + server.KeyFile, "the server offers publickey, password",
		"not tried: the ssh agent (SSH_AUTH_SOCK is not set), a password (the URL has none)",
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "startTimeout")
	assert.Equal(t, 2*once, evaluations(), "the attempts evaluate the ssh configuration once")
}

func TestAwaitLoginWaitsForAccountsThatTheHostCreates(t *testing.T) {
	ownHome(t, "")
	server := sshtest.Start(t, sshtest.Config{})
	h := newHost(&seeded{machine{settingsFor("ssh://stranger@"+server.Addr, 2500*time.Millisecond), "localhost"}})
	defer h.stop(context.Background())
	h.refusalLimit = 0
	err := h.awaitLogin(t.Context())
	require.ErrorIs(t, err, sshclient.ErrLoginRefused)
	assert.ErrorContains(t, err, "provision.startTimeout")
	assert.NotContains(t, err.Error(), "in a row")
}

func TestRefusals(t *testing.T) {
	refused := fmt.Errorf("user x: %w", sshclient.ErrLoginRefused)
	dropped := &sshclient.DialError{Phase: sshclient.PhaseHandshake, Err: errors.New("EOF")}
	closed := &sshclient.DialError{Phase: sshclient.PhaseConnect, Err: errors.New("connection refused")}
	type attempt struct {
		second int
		err    error
	}
	for name, test := range map[string]struct {
		attempts []attempt
		final    bool
		last     error
	}{
		"two for long":             {[]attempt{{0, refused}, {20, refused}}, false, refused},
		"three in a short time":    {[]attempt{{0, refused}, {1, refused}, {2, refused}}, false, refused},
		"three for long enough":    {[]attempt{{0, refused}, {1, refused}, {7, refused}}, true, refused},
		"then sshd drops us":       {[]attempt{{0, refused}, {1, refused}, {2, refused}, {7, dropped}}, true, refused},
		"sshd restarts in between": {[]attempt{{0, refused}, {1, refused}, {2, closed}, {8, refused}}, false, refused},
		"sshd is not up":           {[]attempt{{0, closed}, {8, closed}}, false, closed},
		"no handshake":             {[]attempt{{0, dropped}, {8, dropped}, {9, dropped}}, false, dropped},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(1_000_000, 0)
			r := refusals{limit: refusalLimit}
			var now time.Time
			var last error
			for _, a := range test.attempts {
				now = start.Add(time.Duration(a.second) * time.Second)
				last = r.note(a.err, now)
			}
			assert.Equal(t, test.final, r.areFinal(now))
			assert.Equal(t, test.last, last)
		})
	}
}

// configuring is a host that configures itself after its first login.
type configuring struct{ machine }

func (*configuring) AwaitReady(ctx context.Context, run func(context.Context, string) (string, int, error)) error {
	output, _, err := run(ctx, "wait")
	if err == nil && output != "done\n" {
		err = errors.New("it printed " + output)
	}
	return err
}

func TestAwaitReadyLogsInAgainWhenTheHostRestartsItsServer(t *testing.T) {
	ownHome(t, "")
	var server *sshtest.Server
	drops := 3
	server = sshtest.Start(t, sshtest.Config{Exec: func(ctx context.Context, _ string, s sshtest.Session) int {
		if drops > 0 {
			drops--
			go server.Drop()
			<-ctx.Done()
			return 1
		}
		fmt.Fprintln(s.Stdout, "done")
		return 0
	}})
	h := newHost(&configuring{machine{settingsFor(server.URL(), time.Minute), "127.0.0.1"}})
	defer h.stop(context.Background())
	require.NoError(t, h.awaitReady(t.Context()))
	assert.Zero(t, drops)
}
