package address

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNeighbours(t *testing.T) {
	table := `192.168.123.140 dev virbr1 lladdr 52:54:00:b3:c9:81 REACHABLE
192.168.122.195 dev virbr0 lladdr 52:54:00:7A:29:DB STALE
fe80::5054:ff:fe7a:29db dev virbr0 lladdr 52:54:00:7a:29:db router STALE
192.168.122.7 dev virbr0 lladdr 52:54:00:7a:29:db FAILED
192.168.122.9 dev virbr0  INCOMPLETE
`
	mac, err := net.ParseMAC("52:54:00:7a:29:db")
	require.NoError(t, err)
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("192.168.122.195"), netip.MustParseAddr("fe80::5054:ff:fe7a:29db")}, NeighboursOf(table, mac))
}

func TestALeaseFromBeforeIsNotTheClones(t *testing.T) {
	then := time.Now()
	stale, renewed := Lease{"192.168.122.9", then}, Lease{"192.168.122.9", then.Add(time.Hour)}
	other := Lease{"192.168.122.10", then}
	l := &Leases{Earlier: map[Lease]bool{stale: true}}
	assert.Empty(t, l.Since([]Lease{stale}))
	assert.Equal(t, []Lease{other}, l.Since([]Lease{stale, other}))
	assert.Equal(t, []Lease{renewed}, l.Since([]Lease{renewed}))
	assert.Equal(t, []Lease{stale}, (&Leases{}).Since([]Lease{stale}))
}
