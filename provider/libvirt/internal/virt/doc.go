// Package virt has what all parts of the provider need of libvirt: shared
// connections and their keepalive, libvirt's event loop, calls that end with a
// context, the watcher of a domain, its serial console, the login to the
// hypervisor's machine, and errors.
package virt
