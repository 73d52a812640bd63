package route_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/overcast-go/overcast/internal/route"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// machine is a host at localhost, with a gateway.
type machine struct {
	provider.Settings
	gateway string
}

func (m *machine) SetUp(context.Context) error      { return nil }
func (m *machine) Address() string                  { return "localhost" }
func (m *machine) TearDown(context.Context) error   { return nil }
func (m *machine) Gateway() (url string, err error) { return m.gateway, nil }

var errTornDown = errors.New("torn down")

// newRoute returns a route to a machine, and the function that ends it.
func newRoute(t *testing.T, reach, gateway string) (*route.Route, func()) {
	t.Helper()
	settings := provider.DefaultSettings()
	settings.Reach = reach
	life, end := context.WithCancelCause(context.Background())
	r := route.New(life, &machine{settings, gateway})
	stop := func() {
		end(errTornDown)
		r.Close()
	}
	t.Cleanup(stop)
	return r, stop
}

// echoService sends everything twice, at the end of its input.
func echoService(t *testing.T) (port int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				text, _ := io.ReadAll(conn)
				_, _ = conn.Write(append(text, text...))
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// talk sends hello and returns the answer.
func talk(t *testing.T, conn net.Conn) string {
	t.Helper()
	defer conn.Close()
	_, err := conn.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
	text, err := io.ReadAll(conn)
	require.NoError(t, err)
	return string(text)
}

func TestThroughTheHypervisor(t *testing.T) {
	server, port := sshtest.Start(t, sshtest.Config{}), echoService(t)
	r, end := newRoute(t, provider.ReachHypervisor, server.URL())
	conn, err := r.DialContext(t.Context(), "tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
	require.NoError(t, err)
	assert.Equal(t, "hellohello", talk(t, conn))

	assert.Equal(t, "127.0.0.1", r.HostName())
	forwarded, err := r.Port(port)
	require.NoError(t, err)
	assert.NotEqual(t, port, forwarded)
	again, err := r.Port(port)
	require.NoError(t, err)
	assert.Equal(t, forwarded, again)
	assert.True(t, r.IsHost("localhost", "80"))
	assert.True(t, r.IsHost(r.HostName(), "80"))
	assert.False(t, r.IsHost(r.HostName(), strconv.Itoa(forwarded)), "the address of a forward")
	at := net.JoinHostPort(r.HostName(), strconv.Itoa(forwarded))
	conn, err = net.Dial("tcp", at)
	require.NoError(t, err)
	assert.Equal(t, "hellohello", talk(t, conn), "each side sees the other's end")
	assert.Equal(t, 1, server.Logins(), "one connection to the hypervisor")

	open, err := net.Dial("tcp", at)
	require.NoError(t, err)
	defer open.Close()
	end()
	_, err = net.Dial("tcp", at)
	require.Error(t, err, "forwards end with the route")
	if _, err = io.ReadAll(open); err != nil {
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
	}
	_, err = r.Port(port)
	require.ErrorIs(t, err, errTornDown)
}

func TestAutoPrefersTheDirectWay(t *testing.T) {
	server, port := sshtest.Start(t, sshtest.Config{}), echoService(t)
	r, _ := newRoute(t, provider.ReachAuto, server.URL())
	conn, err := r.DialContext(t.Context(), "tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
	require.NoError(t, err)
	assert.Equal(t, "hellohello", talk(t, conn))
	assert.Equal(t, provider.ReachDirect, r.Reach())
	same, err := r.Port(port)
	require.NoError(t, err)
	assert.Equal(t, port, same)
}

func TestWithoutGatewayTheWayIsDirect(t *testing.T) {
	for _, reach := range []string{provider.ReachAuto, provider.ReachDirect, provider.ReachHypervisor} {
		r, _ := newRoute(t, reach, "")
		assert.Equal(t, provider.ReachDirect, r.Reach())
	}
}

// A broken gateway does not end the wait for a host that can be reached directly
// and has not booted yet.
func TestErrorsShowBothWays(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	listener.Close()
	r, _ := newRoute(t, provider.ReachAuto, "ssh://me@127.0.0.1?privateKeyFile=/nowhere/key&hostKey=insecure")
	_, err = r.DialContext(t.Context(), "tcp", addr)
	require.ErrorContains(t, err, "connection refused")
	require.ErrorContains(t, err, "through the hypervisor")
	require.ErrorContains(t, err, "/nowhere/key does not exist")
	assert.NotErrorIs(t, err, provider.ErrHypervisorNotReachable)
	assert.Equal(t, provider.ReachAuto, r.Reach())
}
