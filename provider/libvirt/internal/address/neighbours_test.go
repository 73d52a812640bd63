package address

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/probe"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
)

func TestAdviceForAGuestInNoTable(t *testing.T) {
	local := &virt.Gateway{Target: func() (*sshurl.Target, error) { return nil, nil }}
	n := func(link string, err error) *Neighbours {
		return &Neighbours{check: &Check{link: link, clone: &domainxml.Clone{Bridge: "br0"}, Settings: Settings{Gateway: local}}, scanErr: err}
	}
	for text, of := range map[string]*Neighbours{
		"": n("br0", nil),
		": a guest that has not talked to the hypervisor's machine is not in the table: use ipLookupStrategy = agent": n("", nil),
		"run it as root (or with CAP_NET_RAW), or use ipLookupStrategy = agent, or SSH":                               n("br0", os.ErrPermission),
		"the network of br0 is too large to ask for all of its addresses: use ipLookupStrategy = agent":               n("br0", probe.ErrTooLarge),
		"this machine has no IPv4 address on br0 to send ARP requests from: use ipLookupStrategy = agent":             n("br0", probe.ErrNotOnLink),
	} {
		assert.Contains(t, of.advice(), text)
	}
	scanned := n("br0", nil)
	scanned.scanned.last = time.Now()
	assert.Equal(t, ", and the guest has not answered ARP requests for all addresses of br0", scanned.advice())
	assert.Equal(t, netip.MustParseAddr("10.0.0.9"), addressesOf([]probe.Neighbour{{Addr: netip.MustParseAddr("10.0.0.9"), MAC: []byte{0x52, 0x54, 0, 1, 2, 3}}}, []byte{0x52, 0x54, 0, 1, 2, 3})[0])
}

func TestScansOfANetworkBecomeRarer(t *testing.T) {
	assert.Equal(t, 2*time.Second, scanPauseAfter(time.Second))
	assert.Equal(t, 10*time.Second, scanPauseAfter(40*time.Second))
}
