// Package strategy finds the address of a machine that has just been started.
//
// A strategy is asked for the address of one network interface, which it knows
// by its MAC address, and answers as soon as there is one:
//
//   - [Static] answers with the address that the configuration names;
//   - [SSH] runs a command on a machine that knows, a DHCP server for example,
//     until it prints an address;
//   - [Lease] asks whoever gives out DHCP leases, for libvirt's networks
//     libvirt itself, until there is one for the interface;
//   - [Agent] asks the guest agent in the machine;
//   - [ARP] asks the hypervisor whether it has seen the interface;
//   - [Auto] races those that can work.
//
// Every strategy waits until its context ends; whoever calls bounds the wait.
// When the machine dies meanwhile, the caller ends the context with that as
// its cause, and the strategy answers with a [NotFoundError] that carries it.
// Nothing here knows libvirt: what a strategy asks is a small interface that
// the provider implements.
package strategy
