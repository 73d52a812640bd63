//go:build linux

package guest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kernelTree is an unpacked kernel package.
type kernelTree struct {
	ctx     context.Context
	dir     string // has boot/ and lib/modules/
	release string // as in 6.1.0-56-amd64
}

// unpackKernel unpacks a fetched kernel package into dir: the kernel, and those
// of its modules that parts name, with what is in them if they are folders.
// Packages have modules below lib or usr/lib, and depmod(8) of one release reads
// the one and that of another release the other: here both names work.
func unpackKernel(ctx context.Context, debs string, kernel source, dir string, parts []string) (kernelTree, error) {
	k := kernelTree{ctx: ctx, dir: dir, release: strings.TrimPrefix(kernel.name, "linux-image-")}
	err := unpackFiles(ctx, debs, kernel.name, func(name string) string {
		if !k.wants(name, parts) {
			return ""
		}
		return filepath.Join(dir, strings.TrimPrefix(name, "usr/"))
	})
	if err != nil {
		return k, err
	}
	if err := os.Mkdir(filepath.Join(dir, "usr"), 0o755); err != nil {
		return k, err
	}
	return k, os.Symlink("../lib", filepath.Join(dir, "usr/lib"))
}

// wants says whether a file of the kernel's package is the kernel, a list of
// modules, or a module that is one of parts or below one. Modules may be
// compressed: then their names end in .ko.xz or .ko.zst.
func (k kernelTree) wants(name string, parts []string) bool {
	name = strings.TrimPrefix(name, "usr/")
	if name == "boot/vmlinuz-"+k.release {
		return true
	}
	name, ok := strings.CutPrefix(name, "lib/modules/"+k.release+"/")
	if !ok {
		return false
	}
	module, ok := strings.CutPrefix(name, "kernel/")
	if !ok {
		return name == "modules.order" || strings.HasPrefix(name, "modules.builtin")
	}
	return slices.ContainsFunc(parts, func(part string) bool {
		rest, ok := strings.CutPrefix(module, part)
		return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(part, ".ko") && rest[0] == '.')
	})
}

// packed is the kernel's file as the package has it.
func (k kernelTree) packed() string { return filepath.Join(k.dir, "boot/vmlinuz-"+k.release) }

// modules is the folder of the modules.
func (k kernelTree) modules() string { return filepath.Join(k.dir, "lib/modules", k.release) }

// decompress writes the kernel in the form that boots fastest. Decompression
// takes an emulated guest about 2.5 of its 6 seconds, so that is done here,
// once: QEMU boots the plain ELF file through its PVH entry point.
func (k kernelTree) decompress(to string) error {
	packed, err := os.ReadFile(k.packed())
	if err != nil {
		return err
	}
	payload, err := kernelPayload(packed)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", k.release, err)
	}
	kernel := packed // in a format unknown here: it boots as well, later
	for _, c := range compressions {
		if !bytes.HasPrefix(payload, []byte(c.magic)) {
			continue
		}
		if kernel, err = c.decompress(k.ctx, payload[:len(payload)-c.trailer]); err != nil {
			return fmt.Errorf("decompressing kernel %s: %w", k.release, err)
		}
	}
	return os.WriteFile(to, kernel, 0o644)
}

// order returns the files of modules and of those that they depend on, in the
// order in which they have to be loaded.
func (k kernelTree) order(modules []string) ([]string, error) {
	// depmod writes symbols that it cannot resolve to standard error: those of
	// modules that were not unpacked.
	if _, err := run(k.ctx, "", "depmod", "-b", k.dir, k.release); err != nil {
		return nil, err
	}
	var order []string
	seen := map[string]bool{}
	line := regexp.MustCompile(`(?m)^insmod (\S+\.ko\S*)`)
	for _, module := range modules {
		out, err := run(k.ctx, "", "modprobe", "-d", k.dir, "-S", k.release, "--show-depends", module)
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

// readModule returns a module as the kernel loads it, decompressed.
func (k kernelTree) readModule(path string) (name string, module []byte, err error) {
	name = filepath.Base(path)
	module, err = os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	for _, c := range compressions {
		if base, ok := strings.CutSuffix(name, c.suffix); ok {
			module, err = c.decompress(k.ctx, module)
			return base, module, err
		}
	}
	return name, module, nil
}

// compression is one of the formats in which kernels and modules come.
type compression struct {
	suffix, magic string
	trailer       int // bytes that a kernel has after the payload: its decompressed size
	command       []string
}

var compressions = []compression{
	{".xz", "\xfd7zXZ\x00", 4, []string{"xz", "-dc"}},
	{".zst", "\x28\xb5\x2f\xfd", 4, []string{"zstd", "-dcq"}},
	{".gz", "\x1f\x8b", 0, []string{"gzip", "-dc"}},
}

func (c compression) decompress(ctx context.Context, data []byte) ([]byte, error) {
	cmd := dieWithUs(exec.CommandContext(ctx, c.command[0], c.command[1:]...))
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.command[0], err)
	}
	return out, nil
}

// kernelPayload finds the packed kernel inside a bzImage, by the fields of the
// setup header that the Linux/x86 boot protocol (version 2.08 and later) has
// for it.
func kernelPayload(image []byte) ([]byte, error) {
	const (
		setupSectors  = 0x1f1
		magic         = 0x202
		payloadOffset = 0x248
		payloadLength = 0x24c
	)
	if len(image) < payloadLength+4 || !bytes.Equal(image[magic:magic+4], []byte("HdrS")) {
		return nil, fmt.Errorf("not a bzImage")
	}
	sectors := int(image[setupSectors])
	if sectors == 0 {
		sectors = 4
	}
	start := (sectors+1)*512 + int(binary.LittleEndian.Uint32(image[payloadOffset:]))
	end := start + int(binary.LittleEndian.Uint32(image[payloadLength:]))
	if start > end || end > len(image) {
		return nil, fmt.Errorf("its payload lies outside of the file")
	}
	return image[start:end], nil
}
