// Package mount gives a clone folders of the hypervisor's machine, as the
// section fsMapping of a host asks for:
//
//	fsMapping {
//	    data { hostPath = "/srv/data", readOnly = true, accessMode = "mapped" }
//	    work { hostPath = "/srv/work", readOnly = false, mountAt = "/work" }
//	}
//
// Each mapping becomes a filesystem device of the domain: see [Apply]. Its
// target, here "data", is the tag by which the guest mounts it, for example by
// a line in its fstab:
//
//	data   /data   9p   ro,trans=virtio
//
// With mountAt nothing has to be prepared in the guest: [Guest] has the
// commands that mount the folder there, and says what is wrong when they fail.
//
// The device is 9p's, which QEMU itself serves with the rights of the user that
// it runs as, or virtiofs's, which a daemon beside QEMU serves as root, with the
// access mode passthrough only, and not read-only before libvirt 11.0.
//
// The formats are libvirt's: https://libvirt.org/formatdomain.html#filesystems
package mount
