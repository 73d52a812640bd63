//go:build linux

package guest

import (
	"fmt"
	"os"
	"path/filepath"
)

// The disk's partitions, in MiB: a system partition with the boot loaders of
// UEFI and BIOS, and the root file system.
const (
	espStart  = 1
	espSize   = 32
	rootStart = espStart + espSize
)

const debianLabel = "lab-debian"

// debianCmdline are the kernel's parameters. All but the first three save time
// on an emulated machine.
const debianCmdline = "root=LABEL=" + debianLabel + " ro console=ttyS0" +
	" quiet mitigations=off no5lvl audit=0 selinux=0 apparmor=0 no_timer_check 8250.nr_uarts=1 random.trust_cpu=on systemd.gpt_auto=no"

// disk makes the image from its parts, without root or loop mounts.
func (b *debianBuilder) disk() error {
	for _, step := range []func() error{b.systemPartition, b.rootPartition} {
		if err := step(); err != nil {
			return err
		}
	}
	raw := b.path("disk.raw")
	if err := emptyFile(raw, rootStart+b.rootMiB+1); err != nil { // GPT has its second copy at the end
		return err
	}
	table := fmt.Sprintf(`sfdisk --quiet "$1" <<EOF
label: gpt
start=%dMiB, size=%dMiB, type=U, attrs=LegacyBIOSBootable
start=%dMiB, size=%dMiB, type=L
EOF`, espStart, espSize, rootStart, b.rootMiB)
	if _, err := run(b.ctx, "", "sh", "-c", table, "sh", raw); err != nil {
		return err
	}
	for _, part := range []struct {
		file string
		args []string
	}{
		{b.path("boot/usr/lib/syslinux/mbr/gptmbr.bin"), []string{"bs=440", "count=1"}},
		{b.path("esp"), []string{"bs=1M", fmt.Sprint("seek=", espStart)}},
		{b.path("root.ext4"), []string{"bs=1M", fmt.Sprint("seek=", rootStart)}},
	} {
		args := append([]string{"if=" + part.file, "of=" + raw, "conv=notrunc,sparse", "status=none"}, part.args...)
		if _, err := run(b.ctx, "", "dd", args...); err != nil {
			return err
		}
	}
	_, err := run(b.ctx, "", "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", raw, filepath.Join(b.out, debianDisk))
	return err
}

// systemPartition makes a FAT file system with the kernel, systemd-boot for
// UEFI and syslinux for BIOS.
func (b *debianBuilder) systemPartition() error {
	esp := b.path("esp")
	if err := emptyFile(esp, espSize); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"loader.conf":  "timeout 0\n",
		"debian.conf":  "title Debian\nlinux /vmlinuz\ninitrd /initrd.img\noptions " + debianCmdline + "\n",
		"syslinux.cfg": "DEFAULT debian\nPROMPT 0\nTIMEOUT 0\nLABEL debian\nLINUX /vmlinuz\nINITRD /initrd.img\nAPPEND " + debianCmdline + "\n",
	} {
		if err := os.WriteFile(b.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, command := range [][]string{
		{"mformat", "-i", esp, "-H", fmt.Sprint(espStart << 11), "::"},
		{"mmd", "-i", esp, "::/EFI", "::/EFI/BOOT", "::/loader", "::/loader/entries", "::/syslinux"},
		{"mcopy", "-i", esp, b.path("boot/usr/lib/systemd/boot/efi/systemd-bootx64.efi"), "::/EFI/BOOT/BOOTX64.EFI"},
		{"mcopy", "-i", esp, b.path("loader.conf"), "::/loader/"},
		{"mcopy", "-i", esp, b.path("debian.conf"), "::/loader/entries/"},
		{"mcopy", "-i", esp, b.path("syslinux.cfg"), "::/syslinux/"},
		{"mcopy", "-i", esp, b.kernel.packed(), "::/vmlinuz"},
		{"mcopy", "-i", esp, b.path("initrd.img"), "::/"},
		{b.path("boot/usr/bin/syslinux"), "--install", "--directory", "/syslinux", esp},
	} {
		if _, err := run(b.ctx, "", command[0], command[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func (b *debianBuilder) rootPartition() error {
	path := b.path("root.ext4")
	if err := emptyFile(path, b.rootMiB); err != nil {
		return err
	}
	_, err := run(b.ctx, "", "mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-E", "root_owner=0:0,lazy_itable_init=0,lazy_journal_init=1",
		"-J", "size=4", "-L", debianLabel, "-d", b.path("root"), path)
	return err
}

// emptyFile creates a sparse file of a size in MiB.
func emptyFile(path string, size int64) error {
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, size<<20)
}
