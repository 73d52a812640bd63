// Package address finds the IP address of a clone in libvirt's DHCP leases, in the
// neighbour table (ARP) or by the guest agent, and detects that another machine has the
// same address.
package address
