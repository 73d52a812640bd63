package libvirt

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

const networkLink = "network"

// checkNetwork looks at the network that the address is looked up on.
func (d *diagnosis) checkNetwork(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone, known domainxml.Bridges) {
	switch {
	case c.Network == "":
		d.report(networkLink, "the base domain has none", nil)
		return
	case !isNetworkOf(c, c.Network):
		d.report(networkLink, "bridge "+c.Network, d.checkBridge(ctx, c.Network))
		return
	}
	if _, ok := known[c.Network]; !ok {
		d.report(networkLink, "", fmt.Errorf("network %q does not exist at %s: define it (virsh net-define), or change networkDeviceId and the base domain", c.Network, virt.RedactURL(d.config.URL)))
		return
	}
	network, err := conn.LookupNetworkByName(c.Network)
	if err != nil {
		d.report(networkLink, "", fmt.Errorf("looking up network %s: %w", c.Network, virt.StripCodes(err)))
		return
	}
	defer network.Free()
	active, err := network.IsActive()
	if err == nil && !active {
		err = fmt.Errorf("network %q is not active: start it (virsh -c '%s' net-start %[1]s)", c.Network, virt.RedactURL(d.config.URL))
	}
	if err != nil {
		d.report(networkLink, "", err)
		return
	}
	d.checkDHCP(ctx, conn, network)
}

// checkDHCP looks at the DHCP server of a network, and at how many addresses it
// has left.
func (d *diagnosis) checkDHCP(ctx context.Context, conn *libvirt.Connect, network *libvirt.Network) {
	definition, err := address.ReadNetwork(network)
	if err != nil {
		d.report(networkLink, "", err)
		return
	}
	leases, err := address.ReadLeases(conn, definition.Name)
	used := address.DHCPUsage(definition, leases)
	if err != nil || used.Total == 0 {
		d.report(networkLink, definition.Name+" is active", err)
		return
	}
	gateway := &virt.Gateway{Target: d.gatewayTarget}
	if definition.Bridge != nil {
		err = address.CheckDHCPServer(ctx, gateway, definition.Name, definition.Bridge.Name)
	}
	if d.report(networkLink, fmt.Sprintf("%s is active, %v", definition.Name, used), err) && used.NearlyFull() {
		d.warn("DHCP range", (&address.RangeFullError{Network: definition.Name, Used: used}).Error())
	}
}

// checkClientIDs warns of a base whose clones have sent one DHCP client
// identifier. It knows the clones of this machine.
func (d *diagnosis) checkClientIDs(c *domainxml.Clone) {
	const link = "client identifier"
	id, macs := address.SharedClientID(address.ReadClientIDs(c.Base))
	if id == "" {
		return
	}
	d.warn(link, fmt.Sprintf("clones of base domain %q with MAC addresses %s have sent the same DHCP client identifier, %s: those that run at the same time are given one address: %s:\n%s",
		d.config.BaseDomain, strings.Join(macs, " and "), id, address.ClientIDHint, ignoreClientIDs))
}

// ignoreClientIDs is what to add to a libvirt network (virsh net-edit), so that
// its dnsmasq, from 2.81 on, goes by MAC addresses.
const ignoreClientIDs = `<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <dnsmasq:options><dnsmasq:option value='dhcp-ignore-clid'/></dnsmasq:options>
</network>`

// isNetworkOf says whether an interface of the clone is on a libvirt network of
// that name, rather than on a bridge.
func isNetworkOf(c *domainxml.Clone, name string) bool {
	for _, i := range c.Definition.Devices.Interfaces {
		if i.Source != nil && i.Source.Network != nil && i.Source.Network.Network == name {
			return true
		}
	}
	return false
}

// checkBridge looks for a bridge on the hypervisor's machine, which libvirt
// does not tell of.
func (d *diagnosis) checkBridge(ctx context.Context, name string) error {
	device := "/sys/class/net/" + name
	missing := fmt.Errorf("there is no bridge %q on the hypervisor's machine: make it (ip link add %[1]s type bridge), or change networkDeviceId and the base domain", name)
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
	client, err := ssh.Dial(ctx, *gateway, nil)
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

// checkReach logs in to the hypervisor's machine where specs may have to go
// through it. Where a direct way may do, it is no fault that they cannot.
func (d *diagnosis) checkReach(ctx context.Context, conn *libvirt.Connect, network string) {
	const reachLink = "reach"
	if d.config.Reach == provider.ReachDirect {
		return
	}
	gateway, err := d.gatewayTarget()
	if err != nil {
		d.report(reachLink, "", err)
		return
	}
	if gateway == nil {
		return
	}
	client, err := ssh.Dial(ctx, *gateway, nil)
	if err == nil {
		d.report(reachLink, fmt.Sprintf("by way of %v, where need be", gateway), client.Close())
		return
	}
	if d.config.Reach == provider.ReachAuto && !isHidden(conn, network) {
		d.report(reachLink, fmt.Sprintf("directly only: %v", err), nil)
		return
	}
	d.report(reachLink, "", fmt.Errorf("guests of %s are reached by way of the hypervisor's machine: %w: "+
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
