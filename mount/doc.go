// Package mount implements fsMapping: folders of the hypervisor's machine, or of
// this one, that a clone can mount.
//
//	fsMapping {
//	    data { hostPath = "/srv/data", readOnly = true, accessMode = "mapped" }
//	    work { hostPath = "/srv/work", readOnly = false, mountAt = "/work" }
//	}
//
// On the hypervisor's side, [Apply] adds a filesystem device to the domain for
// each mapping. Its target, here "data", is the mount tag in the guest, for
// example in the guest's fstab:
//
//	data   /data   9p   ro,trans=virtio
//
// On the guest's side, a mapping with mountAt needs no preparation of the guest:
// [Guest] has the commands that mount and unmount the folder, and explains their
// errors.
//
// The driver 9p is part of QEMU and has the permissions of QEMU's user. The driver
// virtiofs is a daemon that runs as root on the hypervisor's machine. It supports
// only the access mode passthrough, and needs libvirt 11.0 to be read-only.
//
// The format of the devices: https://libvirt.org/formatdomain.html#filesystems
package mount
