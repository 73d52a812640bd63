// Package guest builds the small Linux system that the lab's base domains run,
// and keeps it in a cache.
//
// The system is made from distribution packages: Debian's kernel, a static
// busybox for user space, dropbear as the SSH server, OpenSSH's SFTP server and
// QEMU's guest agent. [Ensure] answers with the files of an [Image]; it builds
// them only when the cache has no whole entry for exactly these packages and
// exactly this recipe.
//
// What a guest does at start, in the order in which it happens:
//
//   - the initrd loads its modules, mounts /dev/vda and switches to it
//     (files/initrd-init);
//   - /etc/init.d/rcS sets the host name, brings up every network interface by
//     DHCP, or gives the first one the address of the kernel parameter
//     lab.ip=ADDRESS/PREFIX[,GATEWAY], and makes an SSH host key of its own;
//     with lab.client=HEX it sends that DHCP client identifier in place of one
//     made from its MAC address, and with lab.silent it does not ping its
//     gateway;
//   - the guest agent starts where the hypervisor has a channel for it;
//   - busybox init keeps dropbear running; root may log in with the image's
//     key, and only with it.
package guest
