package host

import (
	"cmp"
	"context"
	"net"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
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
	return conn, nil
}
