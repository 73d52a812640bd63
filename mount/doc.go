// Package mount gives a clone folders of the hypervisor's machine, as the
// section fsMapping of a host asks for:
//
//	fsMapping {
//	    data { hostPath = "/srv/data", readOnly = true, accessMode = "mapped" }
//	}
//
// Each mapping becomes a filesystem device of the domain. Its target, here
// "data", is the tag by which the guest mounts it, for example by a line in
// its fstab:
//
//	data   /data   9p   ro,trans=virtio   0 0
//
// The formats are libvirt's: https://libvirt.org/formatdomain.html#filesystems
package mount
