package route

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/overcast-go/overcast/provider"
)

// resolveTimeout limits Resolve.
const resolveTimeout = 5 * time.Second

// Resolve determines how to reach a host when nothing has connected to it yet, as
// far as that is possible: the host may not listen on port 22. If it refuses a
// connection through the hypervisor and does not answer a direct one, or if
// there is no route to it, it can be reached only through the hypervisor.
func (r *Route) Resolve(ctx context.Context) {
	if r.Reach() != provider.ReachAuto {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addr := net.JoinHostPort(r.address(), "22")
	direct := make(chan bool, 1)
	go func() {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			conn.Close()
			r.setReach(provider.ReachDirect)
		}
		if isNoRoute(err) {
			r.setReach(provider.ReachHypervisor)
		}
		direct <- err == nil || errors.Is(err, syscall.ECONNREFUSED) || isNoRoute(err)
	}()
	relayed := make(chan bool, 1)
	go func() {
		conn, err := timeoutDialer{Route: r}.relay(ctx, "tcp", addr)
		if err == nil {
			conn.Close()
		}
		relayed <- err == nil || strings.Contains(err.Error(), "refused")
	}()
	if <-direct {
		cancel()
		<-relayed
		return
	}
	if <-relayed {
		r.setReach(provider.ReachHypervisor)
	}
}

// isNoRoute reports whether this machine has no route to an address, or no source
// address for it, as for IPv6 on a machine without.
func isNoRoute(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
