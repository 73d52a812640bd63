//go:build linux

package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// unpackKernel writes the kernel in the form that boots fastest. Unpacking
// itself takes an emulated guest about 2.5 of its 6 seconds, so that is done
// here, once: QEMU boots the plain ELF file through its PVH entry point.
func (b *builder) unpackKernel() error {
	packed, err := os.ReadFile(b.path("kernel/boot/vmlinuz-" + b.release))
	if err != nil {
		return err
	}
	payload, err := kernelPayload(packed)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", b.release, err)
	}
	kernel := packed // in a form that we do not unpack: it boots as well, later
	if bytes.HasPrefix(payload, []byte("\xfd7zXZ\x00")) {
		xz := exec.CommandContext(b.ctx, "xz", "-dc", "--single-stream")
		xz.Stdin = bytes.NewReader(payload)
		// The payload ends in its unpacked size, which xz is told to ignore by
		// --single-stream.
		if kernel, err = xz.Output(); err != nil {
			return fmt.Errorf("unpacking kernel %s: %w", b.release, err)
		}
	}
	return os.WriteFile(filepath.Join(b.out, kernelFile), kernel, 0o644)
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
