//go:build linux

package guest

import "strings"

// debianPackages are installed with what they depend on, beside those that
// every Debian has.
var debianPackages = strings.Fields(`
	systemd-sysv udev dbus libpam-systemd kmod iproute2
	openssh-server qemu-guest-agent`)

// cloudPackages are those that a cloud image has besides.
var cloudPackages = []string{"cloud-init", "sudo"}

// Sizes of root file systems, in MiB.
const (
	debianRootMiB = 640
	cloudRootMiB  = 1200
)

// bootPackages are unpacked for the initrd and the system partition.
var bootPackages = []string{"busybox-static", "systemd-boot-efi", "syslinux", "syslinux-common"}

// debianExcluded are files of packages that are not unpacked.
var debianExcluded = strings.Fields(`
	/usr/share/doc/* /usr/share/man/* /usr/share/info/* /usr/share/locale/* /usr/share/i18n/*
	/usr/share/lintian/* /usr/share/bash-completion/* /usr/share/zsh/*
	/usr/lib/x86_64-linux-gnu/gconv/* /usr/lib/udev/hwdb.d/*`)

// debianRemoved are files that scripts of packages make.
var debianRemoved = []string{"usr/lib/udev/hwdb.bin", "etc/udev/hwdb.bin", "var/log/journal"}

// debianMasked are units of systemd that do nothing for tests and take an
// emulated guest time.
var debianMasked = strings.Fields(`
	getty@tty1.service getty-static.service serial-getty@ttyS0.service
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer
	e2scrub_all.timer e2scrub_reap.service fstrim.timer
	dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
	proc-sys-fs-binfmt_misc.automount systemd-binfmt.service
	systemd-update-utmp.service systemd-update-utmp-runlevel.service
	systemd-journal-flush.service systemd-journal-catalog-update.service
	systemd-pstore.service systemd-repart.service systemd-hostnamed.service systemd-networkd-wait-online.service
	kmod-static-nodes.service sys-fs-fuse-connections.mount modprobe@fuse.service modprobe@drm.service modprobe@configfs.service modprobe@dm_mod.service modprobe@loop.service`)

// debianEnabled are links below /etc/systemd/system to units that Debian does
// not enable by itself.
var debianEnabled = map[string]string{
	"multi-user.target.wants/systemd-networkd.service": "systemd-networkd.service",
	"dbus-org.freedesktop.network1.service":            "systemd-networkd.service",
	"sockets.target.wants/systemd-networkd.socket":     "systemd-networkd.socket",
}

// debianModules are loaded by the initrd, to find the disk.
var debianModules = []string{"virtio_pci", "virtio_blk", "ahci", "sd_mod", "crc32c_generic", "ext4"}

// debianKernelParts are the modules that the guest has on its disk. Those for
// features of the CPU are not among them: the guest would load them at start.
var debianKernelParts = strings.Fields(`
	block crypto lib
	drivers/acpi/button.ko drivers/ata drivers/block/loop.ko drivers/block/virtio_blk.ko drivers/cdrom
	drivers/char/hw_random drivers/char/virtio_console.ko drivers/input/evdev.ko
	drivers/net/ethernet/intel/e1000 drivers/net/net_failover.ko drivers/net/virtio_net.ko
	drivers/scsi/scsi_common.ko drivers/scsi/scsi_mod.ko drivers/scsi/sd_mod.ko
	drivers/scsi/sr_mod.ko drivers/scsi/virtio_scsi.ko drivers/virtio
	fs/9p fs/autofs fs/binfmt_misc.ko fs/configfs fs/efivarfs fs/ext4 fs/fat fs/fscache fs/fuse fs/isofs
	fs/jbd2 fs/mbcache.ko fs/netfs fs/nls fs/overlayfs
	net/802 net/9p net/bridge net/core net/llc`)
