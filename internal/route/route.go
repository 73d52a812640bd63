// Package route connects to hosts, directly or through an SSH connection to the
// machine in front of them.
package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/mark"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
)

// Route is the way from this process to a host. Its methods may be called by
// several goroutines.
type Route struct {
	address func() string
	gateway func() (string, error)
	life    context.Context // of the host

	login gatewayLogin

	mu       sync.Mutex
	reach    string // provider.ReachAuto until a way has worked
	forwards map[int]*forward
	closed   bool
}

var _ sshclient.Dialer = (*Route)(nil)

// New returns the route to an instance. It ends with life.
func New(life context.Context, instance provider.Instance) *Route {
	r := &Route{address: instance.Address, life: life, reach: instance.Common().Reach, forwards: map[int]*forward{}}
	r.login.shared = sshclient.NewSharedClient(life, "the hypervisor")
	if g, ok := instance.(provider.Gateway); ok {
		r.gateway = g.Gateway
	}
	if !r.hasGateway() {
		r.reach = provider.ReachDirect
	}
	return r
}

// hasGateway reports whether there is another way than the direct one. A gateway
// that cannot be determined counts: a connection through it fails with the error.
func (r *Route) hasGateway() bool {
	if r.gateway == nil || r.reach == provider.ReachDirect {
		return false
	}
	url, err := r.gateway()
	return url != "" || err != nil
}

// Reach is how the host is reached, as far as it is known: one of the values of
// reach in package provider.
func (r *Route) Reach() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reach
}

func (r *Route) setReach(reach string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reach == provider.ReachAuto {
		r.reach = reach
	}
}

// Gateway is how to log in to the gateway.
func (r *Route) Gateway() (sshurl.Target, error) {
	url, err := r.gateway()
	if err != nil {
		return sshurl.Target{}, err
	}
	return sshurl.ParseURL(url)
}

// directLead is how long only the direct way is tried.
const directLead = 250 * time.Millisecond

// DialContext connects to addr by the way that has worked before, or by the first
// that works.
func (r *Route) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return r.WithTimeout(0).DialContext(ctx, network, addr)
}

// WithTimeout returns a dialer whose connections take at most timeout, without the
// time to log in to the gateway. 0 is no timeout.
func (r *Route) WithTimeout(timeout time.Duration) sshclient.Dialer { return timeoutDialer{r, timeout} }

type timeoutDialer struct {
	*Route
	timeout time.Duration
}

func (d timeoutDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch d.Reach() {
	case provider.ReachDirect:
		return d.direct(ctx, network, addr)
	case provider.ReachHypervisor:
		return d.relay(ctx, network, addr)
	}
	conn, reach, err := d.race(ctx, network, addr)
	if err == nil {
		d.setReach(reach)
	}
	return conn, err
}

// direct connects from this machine.
func (d timeoutDialer) direct(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: d.timeout}).DialContext(ctx, network, addr)
}

// relay connects through the gateway.
func (d timeoutDialer) relay(ctx context.Context, network, addr string) (net.Conn, error) {
	client, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	if d.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("no connection within %v", d.timeout))
		defer cancel()
	}
	conn, err := client.DialContext(ctx, network, addr)
	if errors.Is(err, sshclient.ErrConnectionLost) {
		err = mark.As(err, provider.ErrHypervisorNotReachable)
	}
	return conn, err
}

// attempt is the result of one way.
type attempt struct {
	reach string
	conn  net.Conn
	err   error
}

// race tries both ways and returns the first connection. The other attempt is
// cancelled.
func (d timeoutDialer) race(ctx context.Context, network, addr string) (net.Conn, string, error) {
	racing, decide := context.WithCancelCause(ctx)
	attempts := make(chan attempt, 2)
	try := func(reach string, dial func(context.Context, string, string) (net.Conn, error)) {
		conn, err := dial(racing, network, addr)
		attempts <- attempt{reach, conn, err}
	}
	go try(provider.ReachDirect, d.direct)
	pending := 1
	lead := time.After(directLead)
	failed := map[string]error{}
	defer func() {
		decide(errors.New("the other way was faster"))
		for ; pending > 0; pending-- {
			if late := <-attempts; late.conn != nil {
				late.conn.Close()
			}
		}
	}()
	for relayed := false; ; {
		select {
		case got := <-attempts:
			pending--
			if got.err == nil {
				return got.conn, got.reach, nil
			}
			failed[got.reach] = got.err
			lead = nil
		case <-lead:
			lead = nil
		}
		if !relayed {
			relayed = true
			pending++
			go try(provider.ReachHypervisor, d.relay)
			continue
		}
		if pending == 0 {
			return nil, "", bothFailed(failed)
		}
	}
}

// bothFailed is the error when neither way works.
func bothFailed(failed map[string]error) error {
	if isNoRoute(failed[provider.ReachDirect]) {
		return fmt.Errorf("%w; this machine has no route to it", failed[provider.ReachHypervisor])
	}
	// A broken gateway says nothing about the host: it is shown but not wrapped.
	return fmt.Errorf("%w; through the hypervisor: %v", failed[provider.ReachDirect], failed[provider.ReachHypervisor])
}

// HostName is the host name or address to connect to from this machine.
func (r *Route) HostName() string {
	if r.Reach() == provider.ReachHypervisor {
		return loopback
	}
	return r.address()
}

// loopback is where forwards listen.
const loopback = "127.0.0.1"

// Port is the port at HostName for a port of the host. It fails if this machine
// has no free port, or if the route is closed.
func (r *Route) Port(port int) (int, error) {
	if r.Reach() != provider.ReachHypervisor {
		return port, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, context.Cause(r.life)
	}
	if f, ok := r.forwards[port]; ok {
		return f.port(), nil
	}
	f, err := newForward(r, port)
	if err != nil {
		return 0, err
	}
	r.forwards[port] = f
	return f.port(), nil
}

// DropConnections closes all connections through forwards, which keep their local
// ports.
func (r *Route) DropConnections() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.forwards {
		f.dropConnections()
	}
}

// Close ends all forwards and the connection to the gateway. The host's life must
// have ended.
func (r *Route) Close() {
	r.mu.Lock()
	r.closed = true
	forwards := r.forwards
	r.forwards = nil
	r.mu.Unlock()
	for _, f := range forwards {
		f.close()
	}
	_ = r.login.shared.Close(context.Background()) // a login in progress has ended with life
}

// IsHost reports whether a name, or an address in any notation, is that of the
// host. An address at which a forward listens is the forward's.
func (r *Route) IsHost(host, port string) bool {
	one, err := netip.ParseAddr(host)
	other, otherErr := netip.ParseAddr(r.address())
	if host == r.address() || (err == nil && otherErr == nil && one.Unmap() == other.Unmap()) {
		return true
	}
	return host == r.HostName() && !r.isForward(port)
}

// isForward reports whether a forward listens at a port of this machine.
func (r *Route) isForward(port string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.forwards {
		if strconv.Itoa(f.port()) == port {
			return true
		}
	}
	return false
}
