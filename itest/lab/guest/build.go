//go:build linux

package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// builder makes the small guest in a folder of its own. The folders debs, kernel,
// initrd and root below scratch are removed when the build ends.
type builder struct {
	ctx     context.Context
	out     string // where the image's files go
	scratch string
}

// build makes an image from packages into the empty folder out.
func build(ctx context.Context, out string, kernel source, rest []source) error {
	b := &builder{ctx: ctx, out: out, scratch: filepath.Join(out, "scratch")}
	if err := os.MkdirAll(b.path("debs"), 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch)
	if err := fetch(ctx, b.path("debs"), append([]source{kernel}, rest...)); err != nil {
		return err
	}
	tree, err := unpackKernel(ctx, b.path("debs"), kernel, b.path("kernel"), kernelParts)
	if err != nil {
		return err
	}
	for _, s := range rest {
		if err := unpack(ctx, b.path("debs"), s.name, b.path("root")); err != nil {
			return err
		}
		if err := mergeUsr(ctx, b.path("root")); err != nil {
			return err
		}
	}
	if err := b.key(); err != nil {
		return err
	}
	if err := tree.decompress(filepath.Join(out, kernelFile)); err != nil {
		return err
	}
	files := initrd{init: "files/initrd-init", busybox: b.path("root/bin/busybox"), modules: modules}
	if err := files.pack(tree, b.path("initrd"), filepath.Join(out, initrdFile)); err != nil {
		return err
	}
	return b.root()
}

func (b *builder) path(elements ...string) string {
	return filepath.Join(append([]string{b.scratch}, elements...)...)
}

// key makes the key pair with which root may log in.
func (b *builder) key() error {
	_, err := run(b.ctx, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "overcast lab", "-f", filepath.Join(b.out, keyFile))
	return err
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

// mergeUsr moves what a package has unpacked beside /usr below it, and leaves
// links, as every current release has them. Packages of newer releases have all
// their files below /usr, and count on the links.
func mergeUsr(ctx context.Context, root string) error {
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		beside, below := filepath.Join(root, name), filepath.Join(root, "usr", name)
		if err := os.MkdirAll(below, 0o755); err != nil {
			return err
		}
		info, err := os.Lstat(beside)
		if err == nil && info.IsDir() {
			if _, err := run(ctx, "", "cp", "-a", beside+"/.", below); err != nil {
				return err
			}
			if err := os.RemoveAll(beside); err != nil {
				return err
			}
		}
		if err := os.Symlink("usr/"+name, beside); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
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
