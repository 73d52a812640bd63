package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/overcast-go/overcast/internal/printable"
)

// Format is that of a disk image, as libvirt names it.
type Format string

const (
	// Raw is a disk image without a header.
	Raw Format = "raw"
	// QCOW2 is the format of QEMU.
	QCOW2 Format = "qcow2"
)

// Info is what the header of a disk image says.
type Info struct {
	Format      Format
	Version     int   // of qcow2: 2 or 3
	VirtualSize int64 // of the disk, in bytes
}

// sectorSize is what the size of a disk is a multiple of.
const sectorSize = 512

// foreign are the first bytes of files that are not disk images that a clone can
// be made from, and what to do about them.
var foreign = []struct {
	offset  int
	magic   string
	problem string
}{
	{0, "KDMV", "it is a VMDK image: convert it with qemu-img convert -O qcow2"},
	{0, "# Disk DescriptorFile", "it is a VMDK descriptor: convert the image with qemu-img convert -O qcow2"},
	{0, "vhdxfile", "it is a VHDX image: convert it with qemu-img convert -O qcow2"},
	{0, "conectix", "it is a VHD image: convert it with qemu-img convert -O qcow2"},
	{0x40, "\x7f\x10\xda\xbe", "it is a VDI image: convert it with qemu-img convert -O qcow2"},
	{0, "QED\x00", "it is a QED image: convert it with qemu-img convert -O qcow2"},
	{0, "PK\x03\x04", "it is a zip archive: unpack it first"},
	{257, "ustar", "it is a tar archive: unpack it first"},
	{0, "BZh", "it is compressed with bzip2: only gzip, xz and zstd are supported"},
	{0, "7z\xbc\xaf\x27\x1c", "it is a 7-Zip archive: unpack it first"},
	{0, gzipMagic, "it is compressed twice: decompress it first"},
	{0, xzMagic, "it is compressed twice: decompress it first"},
	{0, zstdMagic, "it is compressed twice: decompress it first"},
}

// headerSize is how many bytes of a file are read to recognize it.
const headerSize = 512

// Inspect reads the header of a disk image. It fails with a [*FormatError] if the
// file is neither qcow2 nor raw, or if it is a qcow2 image that is encrypted,
// damaged, or refers to another file.
func Inspect(path string) (Info, error) {
	info, err := inspectFile(path)
	if err != nil && !errors.As(err, new(*FormatError)) {
		return Info{}, fmt.Errorf("reading image %s: %w", path, reason(err))
	}
	return info, err
}

// Check is [Inspect] for a file that may be compressed. The content of a compressed file
// is not checked.
func Check(path string) error {
	file, err := openRegular(path)
	if err != nil {
		return err
	}
	defer file.Close()
	header, err := readHeader(file)
	if err != nil || decompressor(string(header)) != nil {
		return err
	}
	_, err = Inspect(path)
	return err
}

func inspectFile(path string) (Info, error) {
	file, err := openRegular(path)
	if err != nil {
		return Info{}, err
	}
	defer file.Close()
	header, err := readHeader(file)
	if err != nil {
		return Info{}, err
	}
	info, err := file.Stat()
	if err != nil {
		return Info{}, err
	}
	found, problem := inspect(header, info.Size())
	if problem == "" && found.Format == QCOW2 {
		problem, err = findMissingData(file, header, info.Size())
	}
	if err != nil {
		return Info{}, err
	}
	if problem != "" {
		return Info{}, &FormatError{Path: path, Problem: problem}
	}
	return found, nil
}

// readHeader returns the first headerSize bytes of a file, or less if it has less.
func readHeader(file *os.File) ([]byte, error) {
	header := make([]byte, headerSize)
	n, err := io.ReadFull(io.NewSectionReader(file, 0, headerSize), header)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return header[:n], err
}

func inspect(header []byte, size int64) (info Info, problem string) {
	for _, f := range foreign {
		if len(header) >= f.offset && bytes.HasPrefix(header[f.offset:], []byte(f.magic)) {
			return Info{}, f.problem
		}
	}
	switch {
	case bytes.HasPrefix(header, []byte("QFI\xfb")):
		return inspectQCOW2(header)
	case size == 0:
		return Info{}, "the file is empty"
	case isText(header):
		return Info{}, fmt.Sprintf("it is not a disk image: it is a text that starts with %q: if a web server sent it in place of the image, check the address and download it again (curl -f)", printable.Excerpt(firstLine(header)))
	case size%sectorSize != 0:
		return Info{}, fmt.Sprintf("it is not a disk image: it is not qcow2, and %d bytes are not a whole number of sectors of %d bytes", size, sectorSize)
	}
	return Info{Format: Raw, VirtualSize: size}, ""
}

// isText reports whether the start of a file is a text of ASCII characters. A disk that
// starts with a boot sector or a partition table has other bytes there.
func isText(header []byte) bool {
	return !bytes.ContainsFunc(header, func(r rune) bool {
		return r > '~' || r < ' ' && r != '\n' && r != '\r' && r != '\t'
	})
}

// maxExcerpt is how much of a text an error shows, in bytes.
const maxExcerpt = 60

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	line = bytes.TrimSpace(line)
	return string(line[:min(len(line), maxExcerpt)])
}

// Offsets of fields in the header of qcow2, all of them big-endian, and bits of
// the field with incompatible features, which version 3 has.
const (
	qcow2Version       = 4
	qcow2BackingOffset = 8
	qcow2Size          = 24
	qcow2CryptMethod   = 32
	qcow2Incompatible  = 72
	qcow2HeaderSize2   = 72
	qcow2HeaderSize3   = 104

	qcow2Corrupt          = 1 << 1
	qcow2ExternalDataFile = 1 << 2
)

func inspectQCOW2(header []byte) (info Info, problem string) {
	if len(header) < qcow2HeaderSize2 {
		return Info{}, "its qcow2 header is cut off"
	}
	version := binary.BigEndian.Uint32(header[qcow2Version:])
	if version != 2 && version != 3 {
		return Info{}, fmt.Sprintf("qcow version %d is not supported: convert it with qemu-img convert -O qcow2", version)
	}
	size := binary.BigEndian.Uint64(header[qcow2Size:])
	switch {
	case version == 3 && len(header) < qcow2HeaderSize3:
		return Info{}, "its qcow2 header is cut off"
	case binary.BigEndian.Uint64(header[qcow2BackingOffset:]) != 0:
		return Info{}, "it has a backing file: merge both with qemu-img convert -O qcow2"
	case binary.BigEndian.Uint32(header[qcow2CryptMethod:]) != 0:
		return Info{}, "it is encrypted: decrypt it with qemu-img convert -O qcow2"
	case size == 0 || size > 1<<62:
		return Info{}, fmt.Sprintf("its qcow2 header has the virtual size %d", size)
	}
	if version == 3 {
		features := binary.BigEndian.Uint64(header[qcow2Incompatible:])
		switch {
		case features&qcow2ExternalDataFile != 0:
			return Info{}, "its data is in an external file: convert it with qemu-img convert -O qcow2"
		case features&qcow2Corrupt != 0:
			return Info{}, "it is marked as corrupt: check it with qemu-img check"
		}
	}
	return Info{Format: QCOW2, Version: int(version), VirtualSize: int64(size)}, ""
}
