package address

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNeighbourTableIsParsed(t *testing.T) {
	table := `192.168.123.140 dev virbr1 lladdr 52:54:00:b3:c9:81 REACHABLE
192.168.122.195 dev virbr0 lladdr 52:54:00:7A:29:DB STALE
fe80::5054:ff:fe7a:29db dev virbr0 lladdr 52:54:00:7a:29:db router STALE
192.168.122.7 dev virbr0 lladdr 52:54:00:7a:29:db FAILED
192.168.122.9 dev virbr0  INCOMPLETE
`
	mac, err := net.ParseMAC("52:54:00:7a:29:db")
	require.NoError(t, err)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("192.168.122.195"), netip.MustParseAddr("fe80::5054:ff:fe7a:29db")}, parseNeighbours(table, mac))
}

func TestLeaseFromBeforeTheStartIsNotTheClones(t *testing.T) {
	then := time.Now()
	stale, renewed := lease{"192.168.122.9", then}, lease{"192.168.122.9", then.Add(time.Hour)}
	other := lease{"192.168.122.10", then}
	l := &Leases{earlier: map[lease]bool{stale: true}}
	assert.Empty(t, l.since([]lease{stale}))
	assert.Equal(t, []lease{other}, l.since([]lease{stale, other}))
	assert.Equal(t, []lease{renewed}, l.since([]lease{renewed}))
	assert.Equal(t, []lease{stale}, (&Leases{}).since([]lease{stale}))
}
