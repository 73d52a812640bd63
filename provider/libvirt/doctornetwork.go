package libvirt

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// networkCheck is the name of the checks of the network.
const networkCheck = "network"

// checkNetwork checks the bridge or the DHCP server of the network on which the address is
// looked up.
func (d *diagnosis) checkNetwork(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) {
	switch {
	case c.Network == "":
		d.report(networkCheck, "the base domain has no interface", nil)
		return
	case !c.IsOnLibvirtNetwork():
		d.report(networkCheck, "bridge "+c.Network, d.checkBridge(ctx, c.Network))
		return
	}
	network, err := conn.LookupNetworkByName(c.Network)
	if err != nil {
		d.report(networkCheck, "", fmt.Errorf("looking up network %s: %w", c.Network, virt.StripCodes(err)))
		return
	}
	defer network.Free()
	d.checkDHCP(ctx, conn, network)
}

// checkDHCP checks the DHCP server of a network and how many addresses are free.
func (d *diagnosis) checkDHCP(ctx context.Context, conn *libvirt.Connect, network *libvirt.Network) {
	definition, err := address.ReadNetwork(network)
	if err != nil {
		d.report(networkCheck, "", err)
		return
	}
	leases, err := address.ReadLeases(conn, definition.Name)
	used := address.DHCPUsage(definition, leases)
	if err != nil || used.Total == 0 {
		d.report(networkCheck, definition.Name+" is active", err)
		return
	}
	gateway := &virt.Gateway{Target: d.gatewayTarget}
	if definition.Bridge != nil {
		err = address.CheckDHCPServer(ctx, gateway, definition.Name, definition.Bridge.Name)
	}
	if d.report(networkCheck, fmt.Sprintf("%s is active, %v", definition.Name, used), err) && used.NearlyFull() {
		d.warn("DHCP range", (&address.RangeFullError{Network: definition.Name, Used: used}).Error())
	}
}

// checkClientIDs warns of a base whose clones send the same DHCP client identifier. It
// sees only clones that this machine has run.
func (d *diagnosis) checkClientIDs(c *domainxml.Clone) {
	const link = "client identifier"
	id, macs := address.SharedClientID(address.ReadClientIDs(c.Base))
	if id == "" {
		return
	}
	d.warn(link, fmt.Sprintf("clones of base domain %q with MAC addresses %s have sent the same DHCP client identifier, %s: clones that run at the same time get one address: %s:\n%s",
		d.config.BaseDomain, strings.Join(macs, " and "), id, address.ClientIDHint, ignoreClientIDs))
}

// ignoreClientIDs is an addition to a libvirt network (virsh net-edit) that makes dnsmasq
// 2.81 and later identify machines by their MAC addresses.
const ignoreClientIDs = `<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <dnsmasq:options><dnsmasq:option value='dhcp-ignore-clid'/></dnsmasq:options>
</network>`

// checkBridge fails if a bridge does not exist on the hypervisor's machine. libvirt has no
// call for that.
func (d *diagnosis) checkBridge(ctx context.Context, name string) error {
	device := "/sys/class/net/" + name
	missing := fmt.Errorf("there is no bridge %q on the hypervisor's machine: create it (ip link add %[1]s type bridge), or change networkDeviceId and the base domain", name)
	gateway, err := d.gatewayTarget()
	if err != nil {
		return err
	}
	if gateway == nil {
		if _, err := os.Stat(device); err != nil {
			return missing
		}
		return nil
	}
	client, err := sshclient.Dial(ctx, *gateway, nil)
	if err != nil {
		return fmt.Errorf("looking for bridge %s: %w", name, err)
	}
	defer client.Close()
	result, err := client.Run(ctx, "test -e '"+strings.ReplaceAll(device, "'", "")+"'")
	if err == nil && result.ExitCode != 0 {
		err = missing
	}
	return err
}

// checkReach logs in to the hypervisor's machine if hosts may only be reachable through it.
// A login that fails is an error only if the network is not reachable directly.
func (d *diagnosis) checkReach(ctx context.Context, conn *libvirt.Connect, network string) {
	const name = "reach"
	if d.config.Reach == provider.ReachDirect {
		return
	}
	gateway, err := d.gatewayTarget()
	if err != nil {
		d.report(name, "", err)
		return
	}
	if gateway == nil {
		return
	}
	client, err := sshclient.Dial(ctx, *gateway, nil)
	if err == nil {
		d.report(name, fmt.Sprintf("through %v if they cannot be reached directly", gateway), client.Close())
		return
	}
	if d.config.Reach == provider.ReachAuto && !isHidden(conn, network) {
		d.report(name, fmt.Sprintf("directly only: %v", err), nil)
		return
	}
	d.report(name, "", fmt.Errorf("guests of %s are reached through the hypervisor's machine: %w: "+
		"make this work: ssh %s true; or set reach = direct if this machine has a route to them", network, err, gateway.Host))
}

// isHidden reports whether, by its definition, only the hypervisor's machine can reach the
// guests of a network.
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
