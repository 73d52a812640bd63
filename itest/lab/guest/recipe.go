//go:build linux

package guest

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// files are what guests are given, and this package's own source: both are
// part of what an image is made from, and so of its name in the cache.
//
//go:embed files *.go
var files embed.FS

// kernelMeta is the package whose first dependency is the kernel that Debian
// currently ships. Its sibling for cloud machines has no 9p.
const kernelMeta = "linux-image-amd64"

// packages are unpacked with the libraries that they need.
var packages = []string{"busybox-static", "dropbear-bin", "openssh-sftp-server", "qemu-guest-agent"}

// modules are loaded by the initrd, each after the modules that it depends on.
var modules = []string{
	"virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "virtio_console",
	"crc32c_generic", "ext4",
	"9p", "9pnet_virtio", "virtiofs",
	"button", "evdev",
}

// etc are the files of /etc that are not packages' and not embedded.
var etc = map[string]string{
	"passwd":   "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"group":    "root:x:0:\nnogroup:x:65534:\n",
	"shadow":   "root:*:19000:0:99999:7:::\n",
	"shells":   "/bin/sh\n",
	"hosts":    "127.0.0.1 localhost\n::1 localhost\n",
	"hostname": "guest\n",
	// The seed document's lines. What the hypervisor has no folder for, is
	// passed over at boot.
	"fstab": "" +
		"data            /data               9p    ro,trans=virtio\n" +
		"vagrant         /vagrant            9p    ro,trans=virtio\n",
}

// rootFiles are the embedded files of the root file system, by their place in it.
var rootFiles = map[string]string{
	"etc/init.d/rcS":                  "files/rcS",
	"etc/inittab":                     "files/inittab",
	"usr/share/udhcpc/default.script": "files/udhcpc.script",
	"etc/udhcpc/default.script":       "files/udhcpc.script",
	"etc/acpi/PWRF/00000080":          "files/power-button",
}

// kernelParts are the kernel modules that the small guest can need, and what
// they depend on: files and folders below the modules' folder "kernel".
var kernelParts = strings.Fields(`
	drivers/virtio drivers/block/virtio_blk.ko drivers/net/virtio_net.ko drivers/net/net_failover.ko
	drivers/char/hw_random drivers/char/virtio_console.ko drivers/acpi/button.ko drivers/input/evdev.ko
	net/core net/9p fs/9p fs/ext4 fs/jbd2 fs/mbcache.ko fs/netfs fs/fscache fs/fuse lib crypto`)

// copyEmbedded writes an embedded file, executable, to path.
func copyEmbedded(path, name string) error {
	data, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o755)
}

// copyTree copies an embedded folder's files below root, readable for all users.
func copyTree(root, dir string) error {
	return fs.WalkDir(files, dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(root, strings.TrimPrefix(path, dir))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // of a link, it is the link that is replaced
		}
		return os.WriteFile(to, text, 0o644)
	})
}
