package layers

import (
	"errors"
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

// ReleaseSuperseded releases the addresses of unused slots that a new one replaces: after a change
// of the base or of the provisioning, its host does not use them any more. They would exhaust the
// range of the DHCP server before they are evicted. A slot that is restored nevertheless reserves
// its address again.
func ReleaseSuperseded(conn *libvirt.Connect, by *Layer) error {
	all, err := List(conn)
	if err != nil {
		return err
	}
	users, err := Users(conn, all)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range all {
		if l.isSuperseded(by) && len(users[l.Name]) == 0 {
			errs = append(errs, l.Warm.releaseAddress(conn))
		}
	}
	return errors.Join(errs...)
}

// isSuperseded reports whether a layer is an earlier slot of the same host with the same number.
func (l *Layer) isSuperseded(by *Layer) bool {
	return l.Warm != nil && l.Key != by.Key && l.Label == by.Label && l.Warm.Slot == by.Warm.Slot && l.Warm.Network == by.Warm.Network
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
