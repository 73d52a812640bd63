package sshclient_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// configured are options with a ~/.ssh/config and known_hosts for servers.
func configured(t testing.TB, config string, servers ...*sshtest.Server) *sshclient.Options {
	t.Helper()
	opts := lonely(t)
	dir := filepath.Join(opts.Home, ".ssh")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var known []byte
	for _, s := range servers {
		file := filepath.Join(t.TempDir(), "known_hosts")
		s.KnownHosts(t, file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, text...)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(dir, "known_hosts"), known, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return opts
}

func section(alias string, s *sshtest.Server, more ...string) string {
	return fmt.Sprintf("Host %s\n  HostName %s\n  Port %d\n  User tester\n  IdentityFile %s\n  %s\n",
		alias, s.Host(), s.Port(), s.KeyFile, strings.Join(more, "\n  "))
}

func TestSSHConfig(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	t.Run("everything from there", func(t *testing.T) {
		connect(t, "ssh://linux-box", configured(t, section("linux-box", server), server))
	})
	t.Run("another file", func(t *testing.T) {
		opts := configured(t, "", server)
		opts.ConfigFile = filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(opts.ConfigFile, []byte(section("linux-box", server)), 0o600); err != nil {
			t.Fatal(err)
		}
		connect(t, "ssh://linux-box", opts)
	})
	t.Run("other hosts' sections do not count", func(t *testing.T) {
		err := dialError(t, t.Context(), "ssh://other.invalid", configured(t, section("linux-box", server), server))
		if !strings.Contains(err.Error(), "other.invalid:22") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("UserKnownHostsFile", func(t *testing.T) {
		opts := configured(t, section("linux-box", server, "UserKnownHostsFile %d/keys/%n-%r"))
		server.KnownHosts(t, filepath.Join(opts.Home, "keys", "linux-box-tester"))
		connect(t, "ssh://linux-box", opts)
	})
	t.Run("HostName and IdentityFile with tokens", func(t *testing.T) {
		opts := configured(t, fmt.Sprintf("Host 127\n HostName %%h.0.0.1\n Port %d\n IdentityFile ~/keys/%%n\n User tester\n", server.Port()), server)
		text, err := os.ReadFile(server.KeyFile)
		if err := errors.Join(err, os.Mkdir(filepath.Join(opts.Home, "keys"), 0o700), os.WriteFile(filepath.Join(opts.Home, "keys", "127"), text, 0o600)); err != nil {
			t.Fatal(err)
		}
		connect(t, "ssh://127", opts)
	})
	t.Run("the URL wins", func(t *testing.T) {
		config := "Host 127.0.0.1\n User nobody\n Port 1\n IdentityFile /no/such/key\n UserKnownHostsFile /no/such/file\n"
		connect(t, server.URL(), configured(t, config))
	})
	t.Run("Match exec", func(t *testing.T) {
		connect(t, "ssh://linux-box", configured(t, "Match exec true\n IdentitiesOnly no\n"+section("linux-box", server), server))
	})
	t.Run("an invalid port", func(t *testing.T) {
		err := dialError(t, t.Context(), "ssh://box", configured(t, "Host box\n Port 0\n"))
		if !strings.Contains(err.Error(), `"0" is not a port`) {
			t.Errorf("got %v", err)
		}
	})
}

func TestProxyJump(t *testing.T) {
	first := sshtest.Start(t, sshtest.Config{})
	second := sshtest.Start(t, sshtest.Config{})
	guest := sshtest.Start(t, sshtest.Config{})
	// The guest's name can be resolved only on the second machine.
	sections := section("first", first) + section("second", second)
	t.Run("through two machines", func(t *testing.T) {
		c := connect(t, "ssh://guest", configured(t, sections+section("guest", guest, "ProxyJump first,second"), first, second, guest))
		if first.Logins() == 0 || second.Logins() == 0 {
			t.Error("it went another way")
		}
		run(t, c, "true")
		c.Close()
		expectNoLeaks(t)
	})
	t.Run("a jump of the machine on the way", func(t *testing.T) {
		before := first.Logins()
		connect(t, "ssh://guest", configured(t,
			section("first", first)+section("second", second, "ProxyJump first")+section("guest", guest, "ProxyJump second"),
			first, second, guest))
		if first.Logins() == before {
			t.Error("it went another way")
		}
	})
	t.Run("user and port in ProxyJump", func(t *testing.T) {
		config := fmt.Sprintf("Host 127.0.0.1\n IdentityFile %s\n", first.KeyFile) +
			section("guest", guest, "ProxyJump tester@"+first.Addr)
		connect(t, "ssh://guest", configured(t, config, first, guest))
	})
	t.Run("ProxyJump none", func(t *testing.T) {
		connect(t, "ssh://guest", configured(t, section("guest", guest, "ProxyJump none"), guest))
	})
	t.Run("a dialer goes before it", func(t *testing.T) {
		opts := configured(t, section("guest", guest, "ProxyJump no-such-host.invalid"), guest)
		opts.Dialer = new(net.Dialer)
		connect(t, "ssh://guest", opts)
	})
	t.Run("the host key of the jump machine is checked, also if that of the guest is not", func(t *testing.T) {
		opts := configured(t, sections+section("guest", guest, "ProxyJump first"), guest)
		opts.HostKeys = hostkey.AcceptAny()
		err := dialError(t, t.Context(), "ssh://guest?hostKey=insecure", opts)
		var unknown *hostkey.UnknownError
		var dial *sshclient.DialError
		if !errors.As(err, &unknown) || unknown.Addr != first.Addr || !errors.As(err, &dial) || dial.Phase != sshclient.PhaseHostKey {
			t.Errorf("got %v", err)
		}
		if !strings.Contains(err.Error(), "through first (ProxyJump)") || dial.Addr != guest.Addr {
			t.Errorf("the error does not name the way: %v", err)
		}
	})
	t.Run("a ProxyJump to itself fails", func(t *testing.T) {
		err := dialError(t, t.Context(), "ssh://guest", configured(t, section("guest", guest, "ProxyJump guest"), guest))
		if !strings.Contains(err.Error(), "does ProxyJump lead back to itself?") {
			t.Errorf("got %v", err)
		}
	})
}

// startAgent is an agent with these keys, listening on a socket.
func startAgent(t testing.TB, keys ...any) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k, Comment: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	return serveAgent(t, func(c net.Conn) { agent.ServeAgent(ring, c) })
}

// serveAgent serves the connections to a socket until the test ends.
func serveAgent(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serveListener(t, l, serve)
	return socket
}

func TestIdentities(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "locked")
	public, held := lockedKey(t, locked)
	server := sshtest.Start(t, sshtest.Config{Keys: []xssh.PublicKey{public}})
	login := "ssh://tester@" + server.Addr + "?hostKey=insecure"

	t.Run("the agent", func(t *testing.T) {
		opts := lonely(t)
		opts.AgentSocket = startAgent(t, held)
		connect(t, login, opts)
	})
	t.Run("the agent of the environment", func(t *testing.T) {
		t.Setenv("SSH_AUTH_SOCK", startAgent(t, held))
		connect(t, login, &sshclient.Options{Home: t.TempDir()})
	})
	t.Run("the agent of IdentityAgent", func(t *testing.T) {
		socket := startAgent(t, held)
		t.Setenv("OTHER_AGENT", socket)
		for _, named := range []string{socket, `"` + socket + `"`, "$OTHER_AGENT", "${OTHER_AGENT}"} {
			t.Setenv("SSH_AUTH_SOCK", "/nowhere/agent")
			opts := configured(t, "IdentityAgent "+named+"\n")
			opts.AgentSocket = ""
			connect(t, login, opts)
		}
		t.Setenv("SSH_AUTH_SOCK", socket)
		opts := configured(t, "IdentityAgent none\n")
		opts.AgentSocket = ""
		dialError(t, t.Context(), login, opts)
		opts = configured(t, "IdentityAgent SSH_AUTH_SOCK\n")
		opts.AgentSocket = ""
		connect(t, login, opts)
	})
	t.Run("IdentitiesOnly leaves the agent out", func(t *testing.T) {
		opts := configured(t, "IdentitiesOnly yes\n")
		opts.AgentSocket = startAgent(t, held)
		dialError(t, t.Context(), login, opts)
	})
	t.Run("the usual files", func(t *testing.T) {
		opts := configured(t, "")
		text, err := os.ReadFile(server.KeyFile)
		if err := errors.Join(err, os.WriteFile(filepath.Join(opts.Home, ".ssh", "id_ed25519"), text, 0o600)); err != nil {
			t.Fatal(err)
		}
		connect(t, login, opts)
	})
	t.Run("an encrypted file whose key the agent has", func(t *testing.T) {
		opts := lonely(t)
		opts.AgentSocket = startAgent(t, held)
		connect(t, login+"&privateKeyFile="+locked, opts)
	})
	t.Run("an encrypted file before the login", func(t *testing.T) {
		target, err := sshurl.ParseURL(login + "&privateKeyFile=" + locked)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("SSH_AUTH_SOCK", startAgent(t, held))
		if err := credentials.CheckKeyFile(t.Context(), target); err != nil {
			t.Errorf("the agent has its key: %v", err)
		}
		for _, socket := range []string{startAgent(t, sshtest.NewKey(t, xssh.KeyAlgoED25519)), "/nowhere/agent", ""} {
			t.Setenv("SSH_AUTH_SOCK", socket)
			if err := credentials.CheckKeyFile(t.Context(), target); !errors.Is(err, credentials.ErrKeyEncrypted) {
				t.Errorf("the agent does not have its key: %v", err)
			}
		}
	})
	t.Run("in their order", func(t *testing.T) {
		explicit, configuredKey, usual := filepath.Join(t.TempDir(), "explicit"), filepath.Join(t.TempDir(), "configured"), "id_ed25519"
		sshtest.WriteKey(t, explicit, "")
		sshtest.WriteKey(t, configuredKey, "")
		opts := configured(t, "IdentityFile "+configuredKey+"\n")
		sshtest.WriteKey(t, filepath.Join(opts.Home, ".ssh", usual), "")
		opts.AgentSocket = startAgent(t, sshtest.NewKey(t, xssh.KeyAlgoED25519))
		err := dialError(t, t.Context(), login+"&privateKeyFile="+explicit, opts)
		var e *sshclient.LoginError
		if !errors.As(err, &e) || len(e.Tried) != 3 {
			t.Fatalf("got %v, want three keys tried, as the usual files only count when no other is named", err)
		}
		for i, want := range []string{explicit, configuredKey, "agent key SHA256:"} {
			if !strings.Contains(e.Tried[i], want) {
				t.Errorf("number %d is %s, want %s", i+1, e.Tried[i], want)
			}
		}
	})
}
