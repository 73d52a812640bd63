package probe_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/overcast-go/overcast/internal/probe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// to sends every connection to one address.
type to string

func (t to) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, string(t))
}

func TestTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	other := netip.MustParseAddr("192.0.2.9")
	assert.Contains(t, probe.TCP(t.Context(), to(listener.Addr().String()), other), "takes connections")
	listener.Close()
	assert.Empty(t, probe.TCP(t.Context(), to(listener.Addr().String()), other), "a connection that is refused")
}

func TestOwn(t *testing.T) {
	assert.Regexp(t, `^this machine has it on lo`, probe.LocalInterface(netip.MustParseAddr("127.0.0.1")))
	assert.Empty(t, probe.LocalInterface(netip.MustParseAddr("192.0.2.9")))
}

func TestARPIsForAddressesOnOurNetworks(t *testing.T) {
	for _, address := range []string{"192.0.2.9", "127.0.0.1", "fd00::9"} {
		assert.Empty(t, probe.ARP(t.Context(), netip.MustParseAddr(address)))
	}
}
