// Package strategy finds the address of a machine that has just been started.
//
// A strategy looks up the address of a network interface by its MAC address:
//
//   - [Static] returns the configured address;
//   - [SSH] runs a command on another machine, such as a DHCP server, until it prints
//     an address;
//   - [Lease] polls the DHCP leases, libvirt's own for libvirt's networks;
//   - [Agent] polls the guest agent;
//   - [ARP] polls the hypervisor's neighbour table;
//   - [Auto] runs several strategies at the same time.
//
// A strategy waits until its context ends, so the caller sets the timeout. If the machine
// stops meanwhile, the caller ends the context with that as its cause, and the strategy
// fails with a [NotFoundError] that contains it. The package does not depend on libvirt:
// the provider implements a small interface for each strategy.
package strategy
