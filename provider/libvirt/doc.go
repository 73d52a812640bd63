// Package libvirt provides hosts that are clones of a shut-off libvirt domain.
//
// A program gets it by importing it for its side effect:
//
//	import _ "github.com/overcast-go/overcast/provider/libvirt"
//
// and a host by a section of the configuration ([config]):
//
//	nat_host {
//	    libvirtURL = "qemu:///system"
//	    libvirtBaseDomain = "my_base_domain"
//	    networkDeviceId = "my_nat_network"
//	}
//
// # What a clone is
//
// Each disk of the base domain is the backing store of a new qcow2 volume, an
// overlay, that takes what the clone writes. The base domain has to be shut off
// while clones are made and while they run: a backing store must not change
// below its overlays. Nothing is ever written to it.
//
// The clone is the base's inactive definition, with what tells domains apart
// replaced: its name, UUID, generation ID and MAC addresses, the paths and ports
// of its serial ports, channels and displays, its vsock CID. Disks that nobody
// writes to, such as cdroms, are shared as they are. UEFI variables and the
// state of an emulated TPM are copied. What one domain at a time can have, such
// as a device that is passed through, or what no overlay can be made over, is
// refused with the reason before anything is made.
//
// # How it goes away
//
// The clone is a transient domain, started with autodestroy: libvirtd destroys
// it when the connection that started it ends, and a transient domain that is
// destroyed is gone. It is held at its first instruction until the overlays'
// files are deleted, and with them that of its UEFI variables: QEMU has them
// open, and the space is freed when it ends, however it ends. So a process that
// is killed while its clones run leaves nothing. (overlay = "file" keeps the
// files until TearDown, for people who want to save the clone or make snapshots
// of it.)
//
// What is created is recorded before it is created (undo.go) and undone in
// reverse order, by TearDown or as soon as a step of setting up fails. What
// cannot be undone stays recorded, and is tried again.
//
// Two things are otherwise: a clone with keep is started without autodestroy, and
// one with overlay = "file" whose firmware or TPM has state of its own is defined,
// so that virsh start finds it again. Both are the sweep's when their process ends
// without a TearDown.
//
// A process that is killed while it makes a clone may leave a volume, or the
// definition of a clone whose firmware or TPM has state of its own. Their names
// and metadata tell which process made them. The first SetUp of every process
// sweeps what is left of processes that have ended, as does [Sweep] (overcast
// gc); [List] (overcast ls) tells what there is.
//
// keep = "on-failure" or "always" leaves a clone for a person to look at; only
// [Sweep] with Kept takes such a clone away.
//
// What libvirt has no way to remove, stays: its log of each domain, snapshots
// outside of the overlays that a person has made, the socket of a serial port when
// libvirtd itself is killed while it starts the clone, and the state of a TPM when
// the hypervisor's machine loses power.
//
// # How it is waited for
//
// libvirt's events report whether the clone runs (domainstate.go):
//
//   - A clone that crashes, powers itself off or is destroyed has stopped for
//     good. Every wait and every call that uses it ends at once with a
//     [StoppedError], which has the last lines of its serial console and of
//     QEMU's log.
//   - A clone that is paused can be resumed. Calls that use it fail with a
//     [PausedError] until then. A set-up fails only if a fault has paused the
//     clone, as an I/O error of a disk: an administrator who has suspended it can
//     be expected to resume it, and the set-up waits until its own timeouts.
//   - A connection that is lost, or whose other end has not answered for 10
//     seconds, ends a set-up with a [ConnectionLostError]. A clone that is set up
//     is still used by SSH, but its state is unknown from then on.
//
// # How its address is found
//
// The interface of the clone that is on networkDeviceId is looked up by a
// strategy (package strategy). Where the configuration names none, all that can
// work here are tried at once.
//
// An address that another machine has is an [AddressConflictError]: the leases,
// the other clones, ARP and the machine that a login reaches are compared with the
// clone (conflict.go). The UUID and the MAC addresses of a clone are those of an
// earlier clone of its base, so that it gets that one's lease (slots.go).
//
// A static address (static.ip) is its clone's alone while the clone is there:
// static.go says how that is kept between processes and between machines.
//
// # Where it can be reached from
//
// The hypervisor's machine is in front of its guests ([provider.Gateway]): with
// a remote libvirtURL, hosts that cannot be reached directly are reached
// through an SSH connection to it.
//
// # When it does not work
//
// A connection that fails is a [*ConnectError], which says which part did. The
// command overcast doctor looks at every link of the chain.
package libvirt
