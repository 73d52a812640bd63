package sshclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/internal/sshclient/transfer"
)

func tunnel(t testing.TB, c *sshclient.Client, addr string) net.Conn {
	t.Helper()
	conn, err := c.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestDialThroughAMachine(t *testing.T) {
	c := connect(t, sshtest.Start(t, sshtest.Config{}).URL(), nil)
	echo := listen(t, func(c net.Conn) { io.Copy(c, c); c.Close() })
	conn := tunnel(t, c, echo.Addr().String())
	sent := bytes.Repeat([]byte("0123456789abcdef"), 300_000) // more than a channel's window
	go func() {
		conn.Write(sent)
		conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("sent %d bytes, got %d back, %v", len(sent), len(got), err)
	}
	if conn.RemoteAddr().String() != echo.Addr().String() {
		t.Errorf("the remote address is %s", conn.RemoteAddr())
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading after Close: %v", err)
	}
}

func TestTunnelsHaveDeadlines(t *testing.T) {
	c := connect(t, sshtest.Start(t, sshtest.Config{}).URL(), nil)
	silent := listen(t, func(net.Conn) {})
	conn := tunnel(t, c, silent.Addr().String())
	conn.SetDeadline(time.Unix(1, 0))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading: %v", err)
	}
	conn.SetWriteDeadline(time.Unix(1, 0))
	if _, err := conn.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing: %v", err)
	}
	conn.SetDeadline(time.Time{})
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Errorf("writing without a deadline: %v", err)
	}
}

// What is closed on this side is closed on the other, with all that was
// written.
func TestClosingATunnelReachesTheOtherEnd(t *testing.T) {
	c := connect(t, sshtest.Start(t, sshtest.Config{}).URL(), nil)
	received := make(chan string, 1)
	sink := listen(t, func(c net.Conn) {
		text, _ := io.ReadAll(c)
		received <- string(text)
	})
	conn := tunnel(t, c, sink.Addr().String())
	io.WriteString(conn, "last words")
	conn.Close()
	if got := <-received; got != "last words" {
		t.Errorf("the other end got %q", got)
	}
}

func TestDialThroughAMachineFails(t *testing.T) {
	closed := listen(t, nil)
	closed.Close()
	for _, tc := range []struct {
		name   string
		config sshtest.Config
		want   string
	}{
		{"a port without a listener", sshtest.Config{}, "refused"},
		{"forwarding is off", sshtest.Config{NoForwarding: true}, "forwarding is off"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := connect(t, sshtest.Start(t, tc.config).URL(), nil)
			_, err := c.DialContext(t.Context(), "tcp", closed.Addr().String())
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), c.String()) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("the context has ended", func(t *testing.T) {
		c := connect(t, sshtest.Start(t, sshtest.Config{}).URL(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.DialContext(ctx, "tcp", closed.Addr().String()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOneMachineThroughAnother(t *testing.T) {
	front, guest := sshtest.Start(t, sshtest.Config{NoSFTP: true}), sshtest.Start(t, sshtest.Config{})
	opts := lonely(t)
	opts.Dialer = connect(t, front.URL(), nil)
	c := connect(t, guest.URL(), opts)
	if got := run(t, c, "echo guest"); got.Stdout != "guest\n" || len(front.Commands()) != 0 {
		t.Errorf("got %+v", got)
	}
	if err := transfer.Upload(t.Context(), c, "tunnel_test.go", "copy"); err != nil {
		t.Error(err)
	}

	t.Run("to a machine that refuses the login", func(t *testing.T) {
		err := dialError(t, t.Context(), guest.URL("hostKey="+print43), opts)
		var mismatch *hostkey.MismatchError
		if !errors.As(err, &mismatch) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("to a port without a listener", func(t *testing.T) {
		guest.Close()
		err := dialError(t, t.Context(), guest.URL(), opts)
		var dial *sshclient.DialError
		if !errors.As(err, &dial) || dial.Phase != sshclient.PhaseConnect || !strings.Contains(err.Error(), front.Addr) {
			t.Errorf("got %v", err)
		}
	})
}
