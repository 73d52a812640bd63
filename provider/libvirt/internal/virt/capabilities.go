package virt

import (
	"fmt"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// ReadCapabilities reads what a hypervisor can do and what it runs on.
func ReadCapabilities(conn *libvirt.Connect) (*libvirtxml.Caps, error) {
	text, err := conn.GetCapabilities()
	if err != nil {
		return nil, fmt.Errorf("reading the capabilities of the hypervisor: %w", StripCodes(err))
	}
	var found libvirtxml.Caps
	if err := found.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("reading the capabilities of the hypervisor: %w", err)
	}
	return &found, nil
}
