package libvirt

import (
	"context"
	"fmt"

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"libvirt.org/go/libvirt"
)

// checkReach logs in to the hypervisor's machine where specs may have to go
// through it. Where a direct way may do, it is no fault that they cannot.
func (d *diagnosis) checkReach(ctx context.Context, conn *libvirt.Connect, network string) {
	const reachLink = "reach"
	if d.config.Reach == provider.ReachDirect {
		return
	}
	gateway, err := d.gatewayTarget()
	if err != nil {
		d.find(reachLink, "", err)
		return
	}
	if gateway == nil {
		return
	}
	client, err := ssh.Dial(ctx, *gateway, nil)
	if err == nil {
		d.find(reachLink, fmt.Sprintf("by way of %v, where need be", gateway), client.Close())
		return
	}
	if d.config.Reach == provider.ReachAuto && !isHidden(conn, network) {
		d.find(reachLink, fmt.Sprintf("directly only: %v", err), nil)
		return
	}
	d.find(reachLink, "", fmt.Errorf("guests of %s are reached by way of the hypervisor's machine: %w: "+
		"have this work: ssh %s true; or say reach = direct, if there is a route to them", network, err, gateway.Host))
}

// isHidden says whether the guests of a network can be reached from its
// hypervisor's machine only, as far as libvirt knows.
func isHidden(conn *libvirt.Connect, name string) bool {
	network, err := conn.LookupNetworkByName(name)
	if err != nil {
		return false
	}
	defer network.Free()
	definition, err := address.ReadNetwork(network)
	if err != nil {
		return false
	}
	return definition.Forward == nil || definition.Forward.Mode == "" || definition.Forward.Mode == "nat"
}
