//go:build linux

package guest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// builder makes one image in a folder of its own; debs, kernel and root are
// scratch folders inside it that are gone when it is done.
type builder struct {
	ctx     context.Context
	out     string // where the image's files go
	scratch string
	release string // of the kernel, as in 6.1.0-56-amd64
}

// build makes an image from packages into the empty folder out.
func build(ctx context.Context, out string, kernel source, rest []source) error {
	b := &builder{ctx: ctx, out: out, scratch: filepath.Join(out, "scratch"), release: strings.TrimPrefix(kernel.name, "linux-image-")}
	if err := os.MkdirAll(b.path("debs"), 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch)
	if err := fetch(ctx, b.path("debs"), append([]source{kernel}, rest...)); err != nil {
		return err
	}
	if err := unpack(ctx, b.path("debs"), kernel.name, b.path("kernel"), kernelFiles(b.release)...); err != nil {
		return err
	}
	for _, s := range rest {
		if err := unpack(ctx, b.path("debs"), s.name, b.path("root")); err != nil {
			return err
		}
	}
	for _, step := range []func() error{b.key, b.unpackKernel, b.initrd, b.root} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) path(elements ...string) string {
	return filepath.Join(append([]string{b.scratch}, elements...)...)
}

// key makes the key pair with which root may log in.
func (b *builder) key() error {
	_, err := run(b.ctx, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "overcast lab", "-f", filepath.Join(b.out, keyFile))
	return err
}

// initrd packs busybox, the modules in loading order, and files/initrd-init.
func (b *builder) initrd() error {
	for _, dir := range []string{"bin", "modules", "proc", "sys", "dev", "root"} {
		if err := os.MkdirAll(b.path("initrd", dir), 0o755); err != nil {
			return err
		}
	}
	if err := copyEmbedded(b.path("initrd/init"), "files/initrd-init"); err != nil {
		return err
	}
	if err := copyFile(b.path("initrd/bin/busybox"), b.path("root/bin/busybox"), 0o755); err != nil {
		return err
	}
	order, err := b.moduleOrder()
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, path := range order {
		name := filepath.Base(path)
		fmt.Fprintln(&list, name)
		if err := copyFile(b.path("initrd/modules", name), path, 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.path("initrd/modules/order"), []byte(list.String()), 0o644); err != nil {
		return err
	}
	pack := "find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -1 -n"
	packed, err := run(b.ctx, b.path("initrd"), "sh", "-c", "set -e; "+pack)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.out, initrdFile), packed, 0o644)
}

// moduleOrder answers with the module files in the order in which they have to
// be loaded, which modprobe reads from what depmod wrote.
func (b *builder) moduleOrder() ([]string, error) {
	// depmod looks for modules in /lib and names what it cannot resolve on
	// standard error: symbols of modules that were left packed.
	if _, err := run(b.ctx, "", "depmod", "-b", b.path("kernel"), b.release); err != nil {
		return nil, err
	}
	var order []string
	seen := map[string]bool{}
	line := regexp.MustCompile(`(?m)^insmod (\S+\.ko)`)
	for _, module := range modules {
		out, err := run(b.ctx, "", "modprobe", "-d", b.path("kernel"), "-S", b.release, "--show-depends", module)
		if err != nil {
			return nil, err
		}
		for _, found := range line.FindAllSubmatch(out, -1) {
			if path := string(found[1]); !seen[path] {
				seen[path] = true
				order = append(order, path)
			}
		}
	}
	return order, nil
}

// root finishes the root file system's folder and turns it into a qcow2 image.
func (b *builder) root() error {
	if err := b.trimRoot(); err != nil {
		return err
	}
	if err := b.linkBusybox(); err != nil {
		return err
	}
	for _, dir := range []string{"proc", "sys", "dev", "run", "tmp", "mnt", "data", "vagrant", "var/log", "etc/dropbear", "root/.ssh"} {
		if err := os.MkdirAll(b.path("root", dir), 0o755); err != nil {
			return err
		}
	}
	for name, text := range etc {
		if err := os.WriteFile(b.path("root/etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for name, embedded := range rootFiles {
		if err := copyEmbedded(b.path("root", name), embedded); err != nil {
			return err
		}
	}
	if err := copyFile(b.path("root/root/.ssh/authorized_keys"), filepath.Join(b.out, keyFile+".pub"), 0o600); err != nil {
		return err
	}
	if err := b.hostKey(); err != nil {
		return err
	}
	// dropbear refuses keys below a folder that others may write to.
	for _, dir := range []string{"root/root/.ssh", "root/root"} {
		if err := os.Chmod(b.path(dir), 0o700); err != nil {
			return err
		}
	}
	return b.image()
}

// hostKey makes the image's RSA host key with the guest's own program: an
// emulated guest would take seconds for it. dropbear offers RSA whether it has
// such a key or not, and falls over when a client takes it up.
func (b *builder) hostKey() error {
	_, err := run(b.ctx, "", "chroot", b.path("root"), "dropbearkey", "-t", "rsa", "-s", "2048", "-f", "/etc/dropbear/rsa")
	return err
}

// trimRoot takes away what the guest never reads.
func (b *builder) trimRoot() error {
	for _, dir := range []string{"usr/share", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/audit"} {
		if err := os.RemoveAll(b.path("root", dir)); err != nil {
			return err
		}
	}
	return nil
}

// linkBusybox puts a link to busybox where each of its commands is expected.
func (b *builder) linkBusybox() error {
	list, err := exec.CommandContext(b.ctx, b.path("root/bin/busybox"), "--list-full").Output()
	if err != nil {
		return fmt.Errorf("asking busybox for its commands: %w", err)
	}
	for _, name := range strings.Fields(string(list)) {
		link := b.path("root", name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("/bin/busybox", link); err != nil {
			return err
		}
	}
	return nil
}

// image makes the ext4 file system, without root or loop mounts, and converts it.
func (b *builder) image() error {
	raw := b.path("root.raw")
	if err := os.WriteFile(raw, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(raw, rootSize); err != nil {
		return err
	}
	_, err := run(b.ctx, "", "mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-E", "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1",
		"-J", "size=4", "-L", "lab-root", "-d", b.path("root"), raw)
	if err != nil {
		return err
	}
	_, err = run(b.ctx, "", "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, filepath.Join(b.out, rootFile))
	return err
}

// rootSize is the size of a guest's root file system in bytes.
const rootSize = 64 << 20

func copyFile(to, from string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, mode)
}
