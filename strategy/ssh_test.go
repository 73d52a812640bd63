package strategy_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/strategy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lookup is the strategy, asking a server of this test.
func lookup(t *testing.T, server *sshtest.Server, command string) strategy.SSH {
	t.Helper()
	return strategy.SSH{URL: server.URL(), Command: command, Timeout: time.Minute}
}

func TestSSHRunsTheCommandUntilItPrintsAnAddress(t *testing.T) {
	var asked atomic.Int32
	server := sshtest.Start(t, sshtest.Config{Exec: func(_ context.Context, cmd string, s sshtest.Session) int {
		if asked.Add(1) < 3 {
			fmt.Fprintln(s.Stderr, "no such lease")
			return 1
		}
		fmt.Fprintln(s.Stdout, "10.0.0.9")
		return 0
	}})
	got, err := lookup(t, server, "grep {0} leases | cut -d ' ' -f 3").Address(t.Context(), mac)
	require.NoError(t, err)
	assert.Equal(t, "10.0.0.9", got.String())
	assert.Equal(t, 1, server.Logins(), "all over one connection")
	for _, command := range server.Commands() {
		assert.Equal(t, "grep 52:54:00:01:02:03 leases | cut -d ' ' -f 3", command)
	}
}

func TestSSHTakesTheBestOfSeveralAddresses(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	s := lookup(t, server, "echo '  fd00::7 '; echo 127.0.0.1; echo 10.0.0.9; echo 10.0.0.10 # {0}")
	got, err := s.Address(t.Context(), mac)
	require.NoError(t, err)
	assert.Equal(t, "10.0.0.9", got.String(), "IPv4 first, and the lower one")
	s.Reach = func(_ context.Context, addr netip.Addr) bool { return addr == netip.MustParseAddr("fd00::7") }
	got, err = s.Address(t.Context(), mac)
	require.NoError(t, err)
	assert.Equal(t, "fd00::7", got.String(), "the one that can be reached")
}

func TestSSHSkipsTheAddressOfAnEarlierMachine(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	s := lookup(t, server, "echo 10.0.0.9; echo 10.0.0.10 # {0}")
	s.Stale = func(_ context.Context, addr netip.Addr) bool { return addr == netip.MustParseAddr("10.0.0.9") }
	got, err := s.Address(t.Context(), mac)
	require.NoError(t, err)
	assert.Equal(t, "10.0.0.10", got.String())

	var asked atomic.Int32
	s.Command = "echo 10.0.0.9 # {0}"
	s.Stale = func(context.Context, netip.Addr) bool { return asked.Add(1) < 3 }
	got, err = s.Address(t.Context(), mac)
	require.NoError(t, err)
	assert.Equal(t, "10.0.0.9", got.String(), "which the new machine has, too")

	ctx, cancel := context.WithCancel(t.Context())
	s.Stale = func(context.Context, netip.Addr) bool {
		cancel()
		return true
	}
	_, err = s.Address(ctx, mac)
	require.ErrorContains(t, err, `printed "10.0.0.9" and exited with 0, which is an earlier machine's address`)
}

func TestSSHRefusesAddressesThatOtherMachinesCannotUse(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	for _, printed := range []string{"127.0.0.1", "0.0.0.0", "::1", "ff02::1", "fe80::1"} {
		_, err := lookup(t, server, "echo "+printed+" # {0}").Address(t.Context(), mac)
		require.ErrorIs(t, err, strategy.ErrNotFound)
		assert.Contains(t, err.Error(), `printed "`+printed+`", which is a loopback, link-local, multicast or unspecified address`)
	}
}

func TestSSHReportsTheOutputOfACommandThatDidNotEnd(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{Exec: func(ctx context.Context, _ string, s sshtest.Session) int {
		fmt.Fprintln(s.Stderr, "waiting for the lock")
		<-ctx.Done()
		return 0
	}})
	s := lookup(t, server, "ask {0}")
	s.Timeout = 4 * time.Second
	_, err := s.Address(t.Context(), mac)
	require.ErrorIs(t, err, strategy.ErrNotFound)
	assert.Contains(t, err.Error(), "after 1 attempts")
	assert.Contains(t, err.Error(), `had not ended (standard error: "waiting for the lock")`)
}

func TestSSHReportsTheOutputOfTheCommand(t *testing.T) {
	stopped := errors.New("domain overcast-web is shut off")
	ctx, cancel := context.WithCancelCause(t.Context())
	var asked atomic.Int32
	server := sshtest.Start(t, sshtest.Config{Exec: func(running context.Context, _ string, s sshtest.Session) int {
		if asked.Add(1) == 3 { // the first ones have ended by themselves
			cancel(stopped)
			<-running.Done()
			return 2
		}
		fmt.Fprintln(s.Stderr, "grep: leases: Permission denied")
		return 2
	}})
	_, err := lookup(t, server, "grep {0} leases").Address(ctx, mac)
	require.ErrorIs(t, err, strategy.ErrNotFound)
	require.ErrorIs(t, err, stopped)
	assert.Contains(t, err.Error(), "by strategy SSH")
	assert.Contains(t, err.Error(), `standard error: "grep: leases: Permission denied"`)
	assert.Contains(t, err.Error(), "exited with 2")
}

func TestSSHRefusesWhatIsNoAddress(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	_, err := lookup(t, server, "echo 52:54:00 # {0}").Address(t.Context(), mac)
	require.ErrorIs(t, err, strategy.ErrNotFound)
	assert.Contains(t, err.Error(), `printed "52:54:00", which is no address`)
	assert.Contains(t, err.Error(), "after 1 attempts")
}

func TestSSHEndsAtItsTimeout(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	s := lookup(t, server, "true {0}")
	s.Timeout = 300 * time.Millisecond
	_, err := s.Address(t.Context(), mac)
	require.ErrorIs(t, err, strategy.ErrNotFound)
	assert.Contains(t, err.Error(), "SSH.timeout of 300ms expired")
}

func TestSSHThatCannotLogInFailsWithoutTheSecret(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	s := strategy.SSH{URL: fmt.Sprintf("ssh://nobody:sesame@%s?hostKey=insecure", server.Addr), Command: "true {0}", Timeout: time.Minute}
	_, err := s.Address(t.Context(), mac)
	var dial *sshclient.DialError
	require.ErrorAs(t, err, &dial)
	assert.Equal(t, sshclient.PhaseLogin, dial.Phase)
	assert.NotContains(t, err.Error(), "sesame")
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", s, s, s), "sesame")
}

func TestSSHWithAnInvalidURLFails(t *testing.T) {
	_, err := strategy.SSH{URL: "dhcp-box", Command: "true {0}", Timeout: time.Minute}.Address(t.Context(), mac)
	require.ErrorIs(t, err, strategy.ErrNotFound)
	assert.ErrorContains(t, err, "it must begin with ssh://")
}
