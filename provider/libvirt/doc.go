// Package libvirt provides hosts that are clones of a shut-off libvirt domain.
//
// A program gets it by importing it for its side effect:
//
//	import _ "github.com/overcast-go/overcast/provider/libvirt"
//
// and a host by a section of the configuration ([Config]):
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
// overlay, that takes what the clone writes. The clone is the base's inactive
// definition with a name, a UUID and MAC addresses of its own and the overlays
// in place of the disks. The base domain has to be shut off while clones are
// made and while they run: a backing store must not change below its overlays.
// Nothing is ever written to it.
//
// # How it goes away
//
// The clone is a transient domain, started with autodestroy: libvirtd destroys
// it when the connection that started it ends, and a transient domain that is
// destroyed is gone. The overlays' files are deleted as soon as QEMU has opened
// them: the space is freed when QEMU ends, however it ends. So a process that
// is killed while its clones run leaves nothing; one that is killed between
// making a volume and starting the clone leaves that volume, whose name says
// whose it is. (overlay = "file" keeps the files until TearDown, for people who
// want to save the clone or make snapshots of it.)
//
// What is created is recorded before it is created (undo.go) and undone in
// reverse order, by TearDown or as soon as a step of setting up fails.
//
// # How its address is found
//
// The interface of the clone that is on networkDeviceId is looked up by a
// strategy (package strategy) while libvirt's events tell whether the domain
// still runs: one that stops ends the wait at once.
package libvirt
