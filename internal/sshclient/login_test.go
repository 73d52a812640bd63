package sshclient_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
)

// countEvaluations writes an ssh configuration and returns the number of times that
// it has been evaluated so far.
func countEvaluations(t *testing.T, home, more string) (evaluations func() int) {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("the ssh program is not installed")
	}
	log := filepath.Join(t.TempDir(), "evaluations")
	config := fmt.Sprintf("%sMatch exec \"echo >> %s\"\n  ServerAliveInterval 7\n", more, log)
	if err := errors.Join(os.MkdirAll(filepath.Join(home, ".ssh"), 0o700),
		os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte(config), 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() int {
		text, _ := os.ReadFile(log)
		return strings.Count(string(text), "\n")
	}
}

func TestALoginEvaluatesTheSSHConfigurationOnce(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	gateway := sshtest.Start(t, sshtest.Config{})
	opts := lonely(t)
	gateway.KnownHosts(t, filepath.Join(opts.Home, ".ssh", "known_hosts"))
	jump := fmt.Sprintf("Host box\n  HostName %s\n  Port %d\n  ProxyJump tester@%s\nHost *\n  IdentityFile %s\n",
		server.Host(), server.Port(), gateway.Addr, gateway.KeyFile)
	evaluations := countEvaluations(t, opts.Home, jump)
	url := "ssh://tester@box?hostKey=insecure&privateKeyFile=" + server.KeyFile
	login, err := sshclient.Resolve(t.Context(), parse(t, url), opts)
	if err != nil {
		t.Fatal(err)
	}
	once := evaluations()
	if once == 0 {
		t.Fatal("the configuration was not evaluated")
	}
	for range 3 {
		client, err := login.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	if now := evaluations(); now != once {
		t.Errorf("three logins evaluated the configuration %d times more", now-once)
	}
	// A server counts a login after the client knows of it.
	eventually(t, "three logins on the machine and on the one of ProxyJump", func() bool { return server.Logins() == 3 && gateway.Logins() == 3 })
}

func TestLoginErrorSaysWhyAMethodWasNotTried(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{Password: "sesame"})
	url := "ssh://stranger@" + server.Addr + "?hostKey=insecure"
	t.Run("no password, no agent, no key file", func(t *testing.T) {
		t.Setenv("SSH_AUTH_SOCK", "")
		opts := lonely(t)
		opts.AgentSocket = ""
		err := dialError(t, t.Context(), url, opts)
		for _, want := range []string{
			"a password (the URL has none)", "the ssh agent (SSH_AUTH_SOCK is not set)",
			"the default key files (none of " + filepath.Join(opts.Home, ".ssh", "id_rsa"), "the server offers publickey, password",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, err)
			}
		}
	})
	t.Run("a missing file of the configuration", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "id_missing")
		err := dialError(t, t.Context(), url, configured(t, "IdentityFile "+missing+"\nIdentityAgent none\n"))
		if !strings.Contains(err.Error(), "not tried: key file "+missing+" does not exist") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
	t.Run("an agent that is turned off", func(t *testing.T) {
		opts := configured(t, "IdentityAgent none\n")
		opts.AgentSocket = ""
		if err := dialError(t, t.Context(), url, opts); !strings.Contains(err.Error(), "the ssh agent (IdentityAgent none)") {
			t.Errorf("the error does not say so: %v", err)
		}
	})
}
