package host

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
)

// RunAs runs a command with a login of its own, as another user or on another port
// than connection.url has. "" and 0 change nothing. The login ends with the
// command.
func (h *Host) RunAs(ctx context.Context, user string, port int, cmd string) (sshclient.Result, error) {
	target, keys, err := h.targetFor(user, port)
	if err != nil {
		return sshclient.Result{}, err
	}
	ctx, cancel := h.whileUp(ctx)
	defer cancel()
	var result sshclient.Result
	err = h.use(ctx, func(running context.Context) error {
		client, err := h.dial(running, target, keys)
		if err != nil {
			return err
		}
		defer client.Close()
		defer closeAtOutage(running, client)()
		result, err = client.Run(ctx, cmd)
		return err
	})
	return result, err
}

// targetFor is where to log in and which host keys are accepted. On another port, a
// clone must have the key that the provider gave it. If the provider gave it none, a
// server on another port may have a key of its own, which its first login pins.
func (h *Host) targetFor(user string, port int) (sshurl.Target, hostkey.Checker, error) {
	target, err := h.target()
	if user != "" {
		target.User = user
	}
	if port == 0 || port == cmp.Or(target.Port, 22) {
		return target, h.keys, err
	}
	target.Port = port
	if _, pinned := h.keys.(*hostkey.Pin); pinned && !h.keyKnown {
		return target, h.pinOf(port), err
	}
	return target, h.keys, err
}

// pinOf is the pin of another port.
func (h *Host) pinOf(port int) *hostkey.Pin {
	h.pinsMu.Lock()
	defer h.pinsMu.Unlock()
	if h.pins == nil {
		h.pins = map[int]*hostkey.Pin{}
	}
	if h.pins[port] == nil {
		h.pins[port] = hostkey.NewPin()
	}
	return h.pins[port]
}

// DialContext connects to addr. If name is empty, the label of the host, or a name
// or address of it, the connection takes the host's route; otherwise it is made
// from this machine.
func (h *Host) DialContext(ctx context.Context, network, addr, label string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var dialer sshclient.Dialer = new(net.Dialer)
	if name == "" || name == label || h.route.IsHost(name, port) {
		dialer, addr = h.route, net.JoinHostPort(h.instance.Address(), port)
	}
	var conn net.Conn
	h.Expose()
	err = h.use(ctx, func(ctx context.Context) (err error) {
		conn, err = dialer.DialContext(ctx, network, addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	return h.closeWhenStopped(conn), nil
}

// closeWhenStopped closes a connection to the host when the host stops or is torn down.
// Its error is then that of [Host.Exited].
func (h *Host) closeWhenStopped(conn net.Conn) net.Conn {
	if changed, _ := provider.OutageOf(h.instance); changed == nil {
		return conn // no outage is ever reported
	}
	c := &watchedConn{Conn: conn, host: h, closed: make(chan struct{})}
	c.watch.Go(func() {
		for {
			changed, _ := provider.OutageOf(h.instance)
			if h.Exited() != nil {
				_ = conn.Close()
				return
			}
			select {
			case <-changed:
			case <-h.life.Done():
				_ = conn.Close()
				return
			case <-c.closed:
				return
			}
		}
	})
	return c
}

// watchedConn is a connection that ends when its host stops.
type watchedConn struct {
	net.Conn
	host   *Host
	once   sync.Once
	closed chan struct{}
	watch  sync.WaitGroup
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.cause(err)
}

func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.cause(err)
}

// cause replaces the error of a connection whose host has stopped.
func (c *watchedConn) cause(err error) error {
	if !errors.Is(err, net.ErrClosed) {
		return err
	}
	return cmp.Or(c.host.Exited(), context.Cause(c.host.life), err)
}

// CloseWrite ends what is sent, if the connection can do that.
func (c *watchedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *watchedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.watch.Wait()
	if err := c.Conn.Close(); err != nil && c.host.Exited() == nil {
		return err
	}
	return nil
}
