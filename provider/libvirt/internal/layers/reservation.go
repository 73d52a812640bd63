package layers

import (
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// The system of a warm slot has its address in memory, and does not ask for it again when it
// is restored. So the DHCP server of its libvirt network must not give the address to another
// machine, also while the slot is not in use: the running network has a <host> entry for the
// slot as long as the layer exists. The persistent definition of the network is not changed.

// ReserveAddress makes the network of a warm slot reserve its address, unless it does.
func (w *Warm) ReserveAddress(conn *libvirt.Connect) error {
	if err := w.setReserved(conn, true, libvirt.NETWORK_UPDATE_COMMAND_ADD_LAST); err != nil {
		return fmt.Errorf("reserving address %s on network %s: %w", w.Address, w.Network, virt.StripCodes(err))
	}
	return nil
}

// releaseAddress removes the reservation. One that does not exist is no error.
func (w *Warm) releaseAddress(conn *libvirt.Connect) error {
	if err := w.setReserved(conn, false, libvirt.NETWORK_UPDATE_COMMAND_DELETE); err != nil {
		return fmt.Errorf("releasing address %s on network %s: %w", w.Address, w.Network, virt.StripCodes(err))
	}
	return nil
}

// setReserved changes the running network by a command unless it already has, or has not, the
// reservation. Without a network, or with one that is not active, it does nothing.
func (w *Warm) setReserved(conn *libvirt.Connect, wanted bool, command libvirt.NetworkUpdateCommand) error {
	if w.Network == "" {
		return nil
	}
	network, err := conn.LookupNetworkByName(w.Network)
	if virt.IsCode(err, libvirt.ERR_NO_NETWORK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer network.Free()
	if active, err := network.IsActive(); err != nil || !active {
		return err
	}
	text, err := network.GetXMLDesc(0)
	if err != nil {
		return err
	}
	var definition libvirtxml.Network
	if err := definition.Unmarshal(text); err != nil || w.isReserved(&definition) == wanted {
		return err
	}
	host := fmt.Sprintf("<host mac='%s' ip='%s'/>", w.MAC, w.Address)
	return network.Update(command, libvirt.NETWORK_SECTION_IP_DHCP_HOST, -1, host, libvirt.NETWORK_UPDATE_AFFECT_LIVE)
}

// isReserved reports whether the network has an entry for the MAC address of the slot.
func (w *Warm) isReserved(network *libvirtxml.Network) bool {
	for _, ip := range network.IPs {
		if ip.DHCP == nil {
			continue
		}
		for _, host := range ip.DHCP.Hosts {
			if strings.EqualFold(host.MAC, w.MAC) {
				return true
			}
		}
	}
	return false
}
