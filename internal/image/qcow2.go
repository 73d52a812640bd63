package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Offsets of fields in the header of qcow2, and bits of its tables.
const (
	qcow2ClusterBits = 20
	qcow2L1Size      = 36
	qcow2L1Offset    = 40

	qcow2ExtendedL2 = 1 << 4 // in the field with incompatible features

	qcow2OffsetMask = 0x00fffffffffffe00 // of an entry of a table
	qcow2Compressed = 1 << 62            // in an entry of an L2 table
)

// Limits that QEMU has, too.
const (
	minClusterBits = 9
	maxClusterBits = 21
	maxL1Bytes     = 32 << 20
)

// findMissingData reports a qcow2 file that ends before the data that its tables refer
// to, as one does whose download or copy was interrupted. A clone of it does not boot.
func findMissingData(file io.ReaderAt, header []byte, size int64) (problem string, err error) {
	bits := binary.BigEndian.Uint32(header[qcow2ClusterBits:])
	if bits < minClusterBits || bits > maxClusterBits {
		return fmt.Sprintf("its qcow2 header has clusters of 2^%d bytes", bits), nil
	}
	l1Bytes := 8 * int64(binary.BigEndian.Uint32(header[qcow2L1Size:]))
	if l1Bytes > maxL1Bytes {
		return fmt.Sprintf("its qcow2 header has a table of %d bytes", l1Bytes), nil
	}
	t := qcow2Tables{file: file, size: size, clusterBits: bits, entrySize: 8}
	if binary.BigEndian.Uint32(header[qcow2Version:]) == 3 && binary.BigEndian.Uint64(header[qcow2Incompatible:])&qcow2ExtendedL2 != 0 {
		t.entrySize = 16
	}
	missing, err := t.missingAt(int64(binary.BigEndian.Uint64(header[qcow2L1Offset:])&qcow2OffsetMask), l1Bytes)
	if err != nil || missing == 0 {
		return "", err
	}
	return fmt.Sprintf("it is cut off: it has %d bytes, and its tables refer to data at byte %d: download or copy it again", size, missing), nil
}

// qcow2Tables reads the tables of a qcow2 file.
type qcow2Tables struct {
	file        io.ReaderAt
	size        int64 // of the file, in bytes
	clusterBits uint32
	entrySize   int // of an L2 table, in bytes
}

// missingAt returns the offset of a table or of data behind the end of the file, or 0.
func (t *qcow2Tables) missingAt(l1Offset, l1Bytes int64) (int64, error) {
	l1 := make([]byte, l1Bytes)
	l2 := make([]byte, 1<<t.clusterBits)
	if ok, err := t.read(l1, l1Offset); !ok {
		return l1Offset, err
	}
	for ; len(l1) > 0; l1 = l1[8:] {
		offset := int64(binary.BigEndian.Uint64(l1) & qcow2OffsetMask)
		if offset == 0 {
			continue
		}
		if ok, err := t.read(l2, offset); !ok {
			return offset, err
		}
		if missing := t.missingCluster(l2); missing != 0 {
			return missing, nil
		}
	}
	return 0, nil
}

// read fills a table, and reports whether the file has all of it.
func (t *qcow2Tables) read(table []byte, offset int64) (bool, error) {
	_, err := t.file.ReadAt(table, offset)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}

// missingCluster returns the offset of a cluster behind the end of the file, or 0. The
// last cluster of a complete file may be shorter than others.
func (t *qcow2Tables) missingCluster(l2 []byte) int64 {
	for ; len(l2) >= t.entrySize; l2 = l2[t.entrySize:] {
		entry := binary.BigEndian.Uint64(l2)
		offset := int64(entry & qcow2OffsetMask)
		if entry&qcow2Compressed != 0 {
			offset = int64(entry & (1<<(62-(t.clusterBits-8)) - 1))
		}
		if offset >= t.size {
			return offset
		}
	}
	return 0
}
