//go:build linux

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// initrd is a guest's first file system: busybox, modules, and a script that
// loads them, mounts the root file system and switches to it.
type initrd struct {
	init    string // embedded file
	busybox string // path of a static busybox
	modules []string
}

// pack makes the file system in dir, which is to be removed later, and packs it
// into the file to.
func (i initrd) pack(kernel kernelTree, dir, to string) error {
	for _, name := range []string{"bin", "modules", "proc", "sys", "dev", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := copyEmbedded(filepath.Join(dir, "init"), i.init); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(dir, "bin/busybox"), i.busybox, 0o755); err != nil {
		return err
	}
	order, err := kernel.order(i.modules)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, path := range order {
		name, module, err := kernel.readModule(path)
		if err != nil {
			return err
		}
		fmt.Fprintln(&list, name)
		if err := os.WriteFile(filepath.Join(dir, "modules", name), module, 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "modules/order"), []byte(list.String()), 0o644); err != nil {
		return err
	}
	pack := "find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -1 -n"
	packed, err := run(kernel.ctx, dir, "sh", "-c", "set -e; "+pack)
	if err != nil {
		return err
	}
	return os.WriteFile(to, packed, 0o644)
}
