package sshclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/internal/sshclient/transfer"
)

// frozen is a connection that has just become half-open, and notices soon.
func frozen(t testing.TB, config sshtest.Config) (*sshclient.Client, *sshtest.Server) {
	server := sshtest.Start(t, config)
	opts := lonely(t)
	// Until it is frozen it must not be taken for dead, however slow this
	// machine is.
	opts.KeepAlive, opts.KeepAliveMisses = 10*time.Millisecond, 100
	return connect(t, server.URL(), opts), server
}

func TestHalfOpenConnectionsAreNoticed(t *testing.T) {
	for _, tc := range []struct {
		name string
		use  func(t *testing.T, c *sshclient.Client, freeze func()) error
	}{
		{"a command under way", func(t *testing.T, c *sshclient.Client, freeze func()) error {
			_, err := c.Run(t.Context(), "echo frozen; sleep 60")
			return err
		}},
		{"a command to begin", func(t *testing.T, c *sshclient.Client, freeze func()) error {
			freeze()
			_, err := c.Run(t.Context(), "true")
			return err
		}},
		{"an upload", func(t *testing.T, c *sshclient.Client, freeze func()) error {
			freeze()
			return transfer.Upload(t.Context(), c, "client_test.go", "x")
		}},
		{"a tunnel to open", func(t *testing.T, c *sshclient.Client, freeze func()) error {
			freeze()
			_, err := c.DialContext(t.Context(), "tcp", "127.0.0.1:1")
			return err
		}},
		{"a tunnel under way", func(t *testing.T, c *sshclient.Client, freeze func()) error {
			conn := tunnel(t, c, listen(t, func(net.Conn) {}).Addr().String())
			freeze()
			_, err := conn.Read(make([]byte, 1))
			return err
		}},
		{"nothing", func(t *testing.T, c *sshclient.Client, freeze func()) error {
			freeze()
			<-c.Done()
			return c.Err()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var server *sshtest.Server
			config := sshtest.Config{}
			if tc.name == "a command under way" {
				config.Exec = func(ctx context.Context, _ string, s sshtest.Session) int {
					server.Freeze()
					<-ctx.Done()
					return 0
				}
			}
			var c *sshclient.Client
			c, server = frozen(t, config)
			err := tc.use(t, c, server.Freeze)
			if !errors.Is(err, sshclient.ErrConnectionLost) || !strings.Contains(err.Error(), "no answer to keepalive requests for 1s") {
				t.Fatalf("got %v, want ErrConnectionLost for want of answers", err)
			}
			if err := c.Wait(); !errors.Is(err, sshclient.ErrConnectionLost) {
				t.Errorf("Wait gives %v", err)
			}
			if _, err := c.Run(t.Context(), "true"); !errors.Is(err, sshclient.ErrConnectionLost) {
				t.Errorf("afterwards Run gives %v", err)
			}
		})
	}
}

func TestContextEndsOnAHalfOpenConnection(t *testing.T) {
	t.Parallel()
	server := sshtest.Start(t, sshtest.Config{})
	opts := lonely(t)
	opts.KeepAlive = -1
	c := connect(t, server.URL(), opts)
	server.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.Run(ctx, "true"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	c.Close() // waits for what Run left behind
}

func TestContextEndsWithWhatIsWrongWithTheConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		misses int
		lost   bool
		text   string
	}{
		"it does not answer": {100_000, false, "context deadline exceeded: no answer to keepalive requests for "},
		"it has ended":       {30, true, ": no answer to keepalive requests for 300ms (context deadline exceeded)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := sshtest.Start(t, sshtest.Config{})
			opts := lonely(t)
			opts.KeepAlive, opts.KeepAliveMisses = 10*time.Millisecond, tc.misses
			c := connect(t, server.URL(), opts)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			server.Freeze()
			_, err := c.Run(ctx, "true")
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sshclient.ErrConnectionLost) != tc.lost || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnsweredKeepAlivesKeepTheConnection(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	opts := lonely(t)
	opts.KeepAlive, opts.KeepAliveMisses = time.Millisecond, 100_000
	c := connect(t, server.URL(), opts)
	for range 5 { // each is sent only when the one before was answered
		<-server.KeepAlives()
	}
	if err := c.Err(); err != nil {
		t.Error(err)
	}
}

func TestDataCountsAsAnAnswerToKeepAlives(t *testing.T) {
	t.Parallel()
	const interval, misses = 100 * time.Millisecond, 20
	server := sshtest.Start(t, sshtest.Config{NoKeepAlive: true, Exec: func(ctx context.Context, _ string, s sshtest.Session) int {
		for start := time.Now(); time.Since(start) < 2*misses*interval; time.Sleep(interval / 10) {
			fmt.Fprintln(s.Stdout, "data")
		}
		return 0
	}})
	opts := lonely(t)
	opts.KeepAlive, opts.KeepAliveMisses = interval, misses
	c := connect(t, server.URL(), opts)
	run(t, c, "print")
	if err := c.Wait(); !errors.Is(err, sshclient.ErrConnectionLost) {
		t.Errorf("got %v, want the end of a connection without data", err)
	}
}

func TestConnectionsThatAreCut(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	c := connect(t, server.URL(), nil)
	started := fifo(t, server.Dir, "started")
	go func() {
		os.ReadFile(started)
		server.Drop()
	}()
	_, err := c.Run(t.Context(), "echo >started; sleep 60")
	if !errors.Is(err, sshclient.ErrConnectionLost) || !strings.Contains(err.Error(), server.Addr) {
		t.Errorf("got %v, want ErrConnectionLost with the address", err)
	}
	<-c.Done()
	if errors.Is(c.Err(), sshclient.ErrClosed) {
		t.Error("the error says that this process closed it")
	}
}

func TestClose(t *testing.T) {
	front, guest := sshtest.Start(t, sshtest.Config{}), sshtest.Start(t, sshtest.Config{})
	over := connect(t, front.URL(), nil)
	opts := lonely(t)
	opts.Dialer = over
	c := connect(t, guest.URL(), opts)
	if c.Err() != nil {
		t.Errorf("before: %v", c.Err())
	}
	conn := tunnel(t, c, listen(t, func(net.Conn) {}).Addr().String())
	started := fifo(t, guest.Dir, "started")
	go func() {
		os.ReadFile(started)
		c.Close()
	}()
	_, err := c.Run(t.Context(), "echo >started; sleep 60")
	if !errors.Is(err, sshclient.ErrConnectionLost) || !errors.Is(err, sshclient.ErrClosed) {
		t.Errorf("a command under way: %v", err)
	}
	if _, err := io.ReadAll(conn); !errors.Is(err, sshclient.ErrClosed) {
		t.Errorf("a tunnel under way: %v", err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	}
	for name, use := range map[string]func() error{
		"Run":         func() error { _, err := c.Run(t.Context(), "true"); return err },
		"Upload":      func() error { return transfer.Upload(t.Context(), c, "client_test.go", "x") },
		"Download":    func() error { return transfer.Download(t.Context(), c, "x", t.TempDir()) },
		"DialContext": func() error { _, err := c.DialContext(t.Context(), "tcp", "127.0.0.1:1"); return err },
		"Wait":        c.Wait,
	} {
		if err := use(); !errors.Is(err, sshclient.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if over.Err() != nil {
		t.Errorf("the connection beneath, which is not ours, has ended: %v", over.Err())
	}
	over.Close()
	expectNoLeaks(t)
	var none *sshclient.Client
	if err := none.Close(); err != nil {
		t.Errorf("closing nil: %v", err)
	}
}

var ours = regexp.MustCompile(`internal/sshclient\.(\(\*|do\[|[a-z])`)

// expectNoLeaks allows the goroutines that Close has waited for the moment in which
// they return.
func expectNoLeaks(t *testing.T) {
	t.Helper()
	var leaked string
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(time.Millisecond) {
		if leaked = leaks(); leaked == "" {
			return
		}
	}
	t.Errorf("left running:\n%s", leaked)
}

// leaks are the goroutines that are in the package.
func leaks() string {
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	var found []string
	for _, g := range strings.Split(string(all), "\n\n") {
		// A channel that some test opened just as its connection ended waits for
		// ever, in the library beneath.
		if ours.MatchString(g) && !strings.Contains(g, "ssh.(*mux).openChannel") {
			found = append(found, g)
		}
	}
	return strings.Join(found, "\n\n")
}

func TestManyCommandsAtOnce(t *testing.T) {
	c := connect(t, sshtest.Start(t, sshtest.Config{}).URL(), nil)
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			r, err := c.Run(t.Context(), "echo x")
			if err == nil && r.Stdout != "x\n" {
				err = errors.New("got " + r.Stdout)
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
