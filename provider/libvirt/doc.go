// Package libvirt provides hosts that are clones of a shut-off libvirt domain.
//
// Import it for its side effect, which registers the provider:
//
//	import _ "github.com/overcast-go/overcast/provider/libvirt"
//
// A section of the configuration declares a host:
//
//	nat_host {
//	    libvirtURL = "qemu:///system"
//	    libvirtBaseDomain = "my_base_domain"
//	    networkDeviceId = "my_nat_network"
//	}
//
// [List] and [GC] list and remove what earlier runs left on a hypervisor, as the commands
// overcast ls and overcast gc do.
//
// # Contents of a clone
//
// Each disk of the base domain is the backing store of a qcow2 volume, an overlay, which
// receives the clone's writes. The base domain must be shut off while clones are created
// and while they run: a backing store must not change below its overlays. Nothing is
// written to the base.
//
// The clone has the base's inactive definition, with a new name, UUID, generation ID, MAC
// addresses, vsock CID, and paths and ports of serial ports, channels and displays.
// Read-only disks such as cdroms are shared with the base. UEFI variables and the state of
// an emulated TPM are copied. Set-up fails before anything is created if the base has a
// device that only one domain at a time can have, or a disk that cannot have an overlay.
//
// # Lifecycle
//
// The clone is a transient domain that is started with autodestroy: libvirtd destroys it
// when the connection that started it ends. The clone stays paused until the files of its
// overlays and UEFI variables are unlinked. QEMU has them open, and the space is freed when
// QEMU ends. So a process that is killed leaves nothing behind. With overlay = "file" the
// files exist until TearDown, which virsh save and snapshots need.
//
// A guard process removes what libvirtd leaves of a killed process: a clone with keep, which is
// started without autodestroy, a clone whose connection was lost, a clone whose memory libvirt
// has restored on a remote hypervisor, and the files of a clone with overlay = "file". It is this
// program, started again, which waits for the end of its parent in an init function and then
// does what [GC] does.
//
// Every step of a set-up is recorded before it is taken and undone in reverse order, by
// TearDown or when a later step fails. A step that cannot be undone stays recorded and is
// tried again.
//
// A clone with overlay = "file" that has UEFI variables or a TPM is persistent, so that virsh
// start can start it again.
//
// A process that is killed while it creates a clone may leave a volume, a temporary pool,
// or the definition of a clone with UEFI variables or a TPM. Their names and metadata
// identify the process. The first SetUp of every process removes what processes that have
// ended have left; [GC] does the same.
//
// keep = "on-failure" or "always" leaves a clone for inspection. Only [GC] with Kept removes
// it.
//
// libvirt cannot remove the following: its log of each domain, external snapshots that a
// user has created, the socket of a serial port if libvirtd is killed while it starts the
// clone, and the state of a TPM if the hypervisor's machine loses power.
//
// # State of a clone
//
// libvirt's events report whether the clone runs:
//
//   - A clone that crashes, powers off or is destroyed has stopped for good. Every wait and
//     every call that uses it ends at once with a [provider.ErrHostStopped], whose message
//     has the last lines of the serial console and of QEMU's log.
//   - A clone that is paused can be resumed. Until then, calls that use it fail with a
//     [provider.ErrHostPaused]. A set-up fails only if a fault paused the clone, such as
//     an I/O error of a disk. If an administrator suspended it, the set-up waits until it
//     is resumed or a timeout expires.
//   - If the connection cannot be opened or is lost, or libvirtd does not answer for 10
//     seconds, a set-up ends with a [provider.ErrHypervisorNotReachable]. A clone that is
//     already set up can still be used over SSH, but its state is unknown.
//
// # Address of a clone
//
// A strategy (package strategy) looks up the address of the interface on networkDeviceId.
// Without ipLookupStrategy, all strategies that can work are tried at the same time.
//
// If another machine has the address, set-up fails with a [provider.ErrAddressConflict]:
// it compares the DHCP leases, the other clones, ARP and the machine that the login
// reaches with the clone. A clone has the UUID and the MAC addresses of an earlier clone
// of its base, so that it gets the same lease.
//
// One clone at a time has a static address (static.ip). On one machine a file lock ensures
// that, and across machines the UUID of the clone, which is derived from the address: a
// hypervisor has one domain with a UUID. [AddressInUseError] names the holder.
//
// # Remote hypervisors
//
// With a remote libvirtURL, a host that cannot be reached directly is reached through an
// SSH connection to the hypervisor's machine ([provider.Gateway]).
//
// # Diagnosis
//
// The command overcast doctor plans a clone as set-up does, without creating anything, and
// reports each step.
package libvirt
