package sshclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// runMany runs many commands at once, and checks what each has printed.
func runMany(t testing.TB, c *sshclient.Client, count int) {
	t.Helper()
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			r, err := c.Run(t.Context(), fmt.Sprintf("echo %d", i))
			if assert.NoError(t, err) {
				assert.Equal(t, fmt.Sprintf("%d\n", i), r.Stdout)
			}
		})
	}
	all.Wait()
}

func TestRunsMoreCommandsAtOnceThanAConnectionAllows(t *testing.T) {
	for _, tc := range []struct{ limit, count int }{{1, 50}, {3, 50}, {10, 50}, {10, 500}} {
		t.Run(fmt.Sprintf("%d with %d sessions per connection", tc.count, tc.limit), func(t *testing.T) {
			server := sshtest.Start(t, sshtest.Config{MaxSessions: tc.limit})
			runMany(t, connect(t, server.URL(), nil), tc.count)
			assert.LessOrEqual(t, server.Logins(), 9)
			assert.Equal(t, 1, server.LoginsAtOnce())
		})
	}
}

// A blocker is a server whose commands run until the test ends them.
type blocker struct {
	*sshtest.Server
	started chan string   // gets each command
	finish  chan struct{} // ends one command for each value
}

func newBlocker(t testing.TB, config sshtest.Config) *blocker {
	b := &blocker{started: make(chan string, 1000), finish: make(chan struct{})}
	config.Exec = func(ctx context.Context, cmd string, _ sshtest.Session) int {
		b.started <- cmd
		if cmd == "short" {
			return 0
		}
		select {
		case <-b.finish:
		case <-ctx.Done():
		}
		return 0
	}
	b.Server = sshtest.Start(t, config)
	return b
}

func TestLongCommandsDoNotBlockOthers(t *testing.T) {
	server := newBlocker(t, sshtest.Config{MaxSessions: 2})
	c := connect(t, server.URL(), nil)
	var long sync.WaitGroup
	for range 7 {
		long.Go(func() { c.Run(t.Context(), "long") })
	}
	for range 7 {
		assert.Equal(t, "long", <-server.started)
	}
	for range 20 {
		run(t, c, "short")
	}
	require.NoError(t, c.Close())
	long.Wait()
}

// oneConnection is a dialer that connects once.
type oneConnection struct{ used atomic.Bool }

func (d *oneConnection) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.used.Swap(true) {
		return nil, errors.New("no more connections")
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func TestCommandsAreQueuedInTheirOrder(t *testing.T) {
	server := newBlocker(t, sshtest.Config{MaxSessions: 1})
	opts := lonely(t)
	opts.Dialer = new(oneConnection)
	c := connect(t, server.URL(), opts)
	var all sync.WaitGroup
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprint(i))
		all.Go(func() {
			_, err := c.Run(t.Context(), fmt.Sprint(i))
			assert.NoError(t, err)
		})
		if i == 0 {
			eventually(t, "the first command runs", func() bool { return len(server.started) == 1 })
			// The limit is not known before a session is refused.
			ctx, cancel := context.WithCancel(t.Context())
			var learner sync.WaitGroup
			learner.Go(func() { c.Run(ctx, "learns the limit") })
			eventually(t, "the second command waits", func() bool { return sshclient.Waiting(c) == 1 })
			cancel()
			learner.Wait()
			continue
		}
		eventually(t, "the next command waits", func() bool { return sshclient.Waiting(c) == i })
	}
	for range want {
		server.finish <- struct{}{}
	}
	all.Wait()
	close(server.started)
	assert.Equal(t, want, slices.Collect(func(yield func(string) bool) {
		for cmd := range server.started {
			if !yield(cmd) {
				return
			}
		}
	}))
}

func TestQueuedCommandEndsWithItsContext(t *testing.T) {
	server := newBlocker(t, sshtest.Config{MaxSessions: 1})
	opts := lonely(t)
	opts.Dialer = new(oneConnection)
	c := connect(t, server.URL(), opts)
	var first sync.WaitGroup
	first.Go(func() { c.Run(t.Context(), "long") })
	<-server.started
	ctx, cancel := context.WithCancelCause(t.Context())
	var failure error
	var second sync.WaitGroup
	second.Go(func() { _, failure = c.Run(ctx, "never") })
	eventually(t, "another login has failed", func() bool { return sshclient.DialErr(c) != nil })
	cancel(errors.New("enough"))
	second.Wait()
	require.ErrorContains(t, failure, "waiting for a session (connections: 1, sessions in use: 1, requests ahead: 0, opening another connection: ")
	require.ErrorContains(t, failure, "no more connections): enough")
	server.finish <- struct{}{}
	first.Wait()
	run(t, c, "short")
	assert.Equal(t, []string{"long", "short"}, server.Commands())
}

func TestServerThatAllowsNoSessionIsAnError(t *testing.T) {
	c := connect(t, sshtest.Start(t, sshtest.Config{MaxSessions: -1}).URL(), nil)
	_, err := c.Run(t.Context(), "true")
	assert.ErrorContains(t, err, "opening a session: ssh: rejected: connect failed (\"open failed\")")
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{MaxSessions: 1})
	c := connect(t, server.URL(), sshclient.WithIdleTime(lonely(t), time.Millisecond))
	runMany(t, c, 50)
	eventually(t, "one connection is left", func() bool { return server.Connections() == 1 })
	run(t, c, "true")
	require.NoError(t, c.Err())
}

func TestEndOfAnExtraConnectionEndsOnlyItsCommands(t *testing.T) {
	server := newBlocker(t, sshtest.Config{MaxSessions: 1})
	c := connect(t, server.URL(), nil)
	errs := make(chan error, 2)
	for range cap(errs) {
		go func() { _, err := c.Run(t.Context(), "long"); errs <- err }()
		<-server.started
	}
	server.DropNewest()
	require.ErrorIs(t, <-errs, sshclient.ErrConnectionLost)
	require.NoError(t, c.Err())
	server.finish <- struct{}{}
	require.NoError(t, <-errs)
	run(t, c, "short")
}

func TestCloseWithCommandsThatRunAndWait(t *testing.T) {
	server := newBlocker(t, sshtest.Config{MaxSessions: 1})
	c := connect(t, server.URL(), nil)
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() {
			_, err := c.Run(t.Context(), "long")
			assert.ErrorIs(t, err, sshclient.ErrClosed)
		})
	}
	for range 9 { // one on each connection
		<-server.started
	}
	eventually(t, "the others wait", func() bool { return sshclient.Waiting(c) == 21 })
	require.NoError(t, c.Close())
	all.Wait()
	expectNoLeaks(t)
}

func TestVersionsOfDropbearThatCloseConnections(t *testing.T) {
	for version, want := range map[string]bool{
		"SSH-2.0-dropbear_2020.81": false,
		"SSH-2.0-dropbear_2022.82": true,
		"SSH-2.0-dropbear_2022.83": true,
		"SSH-2.0-dropbear_2024.85": true,
		"SSH-2.0-dropbear_2024.86": false,
		"SSH-2.0-dropbear_2025.88": false,
		"SSH-2.0-dropbear":         false,
		"SSH-2.0-OpenSSH_9.2p1":    false,
	} {
		assert.Equal(t, want, sshclient.ClosesConnections(version), version)
	}
}
