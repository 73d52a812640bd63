package virt

import (
	"net/url"

	"libvirt.org/go/libvirt"
)

// IsLocal reports whether a hypervisor is on this machine, by its URL.
func IsLocal(conn *libvirt.Connect) bool {
	text, err := conn.GetURI()
	if err != nil {
		return false
	}
	at, err := url.Parse(text)
	return err == nil && at.Host == ""
}
