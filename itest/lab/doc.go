// Command lab runs a command beside a private libvirt with real guests:
//
//	go run ./itest/lab CMD ARGS...
//
// From another module that requires this one:
//
//	go run github.com/overcast-go/overcast/itest/lab CMD ARGS...
//
// It starts virtlogd, libvirtd, dnsmasq and sshd in network, process and mount
// namespaces of their own, defines networks and shut-off base domains, runs
// CMD there with its own standard streams, passes signals on to it (those of the keyboard to its process group), and exits
// with its exit code (128 + n if signal n ended it). When the lab ends, in
// whatever way, the kernel ends every process in the namespaces, and with them
// go their bridges, mounts and files, all of which are in memory. Only the
// cache of built guests stays, below the user's cache folder.
//
// CMD finds:
//
//	qemu:///system     the lab's libvirt (LIBVIRT_DEFAULT_URI names it, too)
//	LAB_SSH_KEY        path of a private key that root of every guest accepts
//	LAB_STATIC_IP      the address that guests of lab-static give themselves
//	LAB_CONF           path of an overcast.conf with the lab's hosts
//	HOME               a folder of the lab's, with .ssh/id_rsa (passphrase "bigsecret")
//	SSH_AUTH_SOCK      an agent that has that key; .ssh/config names it, too
//	base domains       my_base_domain, lab-static, lab-two-disks, and lab-agent,
//	                   which runs the QEMU guest agent
//	networks           my_nat_network, my_routed_network, the bridge br0;
//	                   my_base_domain is on all three; addresses are given
//	                   out without dnsmasq's ping of 3 s each
//	linux-box          this machine, with an sshd for the account "user", which
//	                   may use libvirt: qemu+ssh://user@linux-box/system
//	dhcp-box           a machine of its own on br0, with an sshd for the account
//	                   "dhcp-query-user", and the DHCP server of br0; it has no
//	                   route to the other networks
//
// Leases are kept in text files as well, where DHCP servers had them of old:
// /var/lib/libvirt/dnsmasq/NETWORK.leases on linux-box, and
// /var/lib/dnsmasq/dnsmasq.leases on dhcp-box, which also knows the leases of
// the routed network.
//
// With LAB_DEBIAN=1 there are also the base domains lab-debian and lab-debian-bios, a
// Debian with systemd and OpenSSH. With LAB_CLOUD=1, LAB_CLOUD_IMAGE is the path of such
// a Debian as a cloud image, with cloud-init.
//
// LAB_ACCEL=kvm or tcg decides how guests run; without it the lab takes KVM
// where the CPU has hardware virtualisation. When a step fails, the lab shows
// the end of the logs that may say why.
//
// # How it is built
//
// Three processes: the outer one (outer.go) checks the machine, builds guests
// and makes the namespaces; "lab-init" (init.go) is process 1 in them and only
// reaps; "lab-keeper" (keeper.go) sets everything up and runs CMD. A pipe from
// the first to the last carries signals, and its end says that the outer
// process is gone.
package main
