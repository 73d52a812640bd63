package warm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"libvirt.org/go/libvirt"
)

// SaveImage writes the memory and the state of the devices of a paused domain to a volume, as
// a save image of libvirt, and ends the domain. If it fails, the domain can be resumed. It
// also works on a hypervisor of another machine.
func SaveImage(ctx context.Context, conn *libvirt.Connect, domain *libvirt.Domain, to storage.VolumeRef) error {
	volume, path, err := lookUp(conn, to)
	if err != nil {
		return err
	}
	defer volume.Free()
	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(aborted)
		_ = domain.AbortJob() // fails if the domain has been saved
	})
	err = domain.SaveFlags(path, "", libvirt.DOMAIN_SAVE_PAUSED)
	if !stop() {
		<-aborted
	}
	return err
}

// RestoreImage makes a save image define another domain, and starts that domain, paused, from
// it. libvirt restores a domain only with its old name and UUID. Both are in the definition at
// the beginning of the image, which can be replaced through libvirt's storage API. Nothing else
// may use the image meanwhile.
func RestoreImage(ctx context.Context, conn *libvirt.Connect, from storage.VolumeRef, definition string) error {
	volume, path, err := lookUp(conn, from)
	if err != nil {
		return err
	}
	defer volume.Free()
	before, err := readBeginning(ctx, conn, volume)
	if err != nil {
		return fmt.Errorf("reading volume %s: %w", from.Name, err)
	}
	after, err := replaceDefinition(before, definition)
	if err != nil {
		return fmt.Errorf("volume %s: %w", from.Name, err)
	}
	if err := layers.Upload(ctx, conn, volume, bytes.NewReader(after), int64(len(after))); err != nil {
		return fmt.Errorf("writing volume %s: %w", from.Name, err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return conn.DomainRestoreFlags(path, "", libvirt.DOMAIN_SAVE_PAUSED)
}

// usualBeginning is more than what libvirt writes before the memory of most domains.
const usualBeginning = 128 << 10

// readBeginning reads a save image up to the memory.
func readBeginning(ctx context.Context, conn *libvirt.Connect, volume *libvirt.StorageVol) ([]byte, error) {
	for size := usualBeginning; ; {
		var content bytes.Buffer
		if err := layers.Download(ctx, conn, volume, &content, int64(size)); err != nil {
			return nil, err
		}
		found := content.Bytes()
		image, err := parseImage(found)
		if err != nil {
			return nil, err
		}
		if end := image.memoryAt(); end <= len(found) {
			return found[:end], nil
		} else if len(found) < size {
			return nil, fmt.Errorf("the save image ends after %d bytes, before the memory at %d", len(found), end)
		} else {
			size = end
		}
	}
}

// A save image begins with a header of 32-bit numbers in the byte order of the hypervisor. The
// definition of the domain follows, and at the cookie offset, unless that is 0, libvirt's
// cookie. Both end with a zero byte. The memory begins where the data ends.
const (
	imageMagic   = "LibvirtQemudSave"
	partialMagic = "LibvirtQemudPart" // while the image is written
	imageVersion = 2                  // the latest

	versionAt    = 16
	dataLengthAt = 20
	cookieAt     = 32
	imageHeader  = 92 // bytes

	maxDataLength = 64 << 20 // of an image that this package reads
)

// image is the header of a save image.
type image struct {
	order      binary.ByteOrder
	dataLength int // of the definition and the cookie, with the room after them
	cookie     int // offset in the data; 0 if there is none
}

// memoryAt is the offset of the memory.
func (i image) memoryAt() int { return imageHeader + i.dataLength }

// parseImage reads the header of a save image.
func parseImage(beginning []byte) (image, error) {
	if len(beginning) < imageHeader {
		return image{}, fmt.Errorf("the save image has %d bytes, less than its header", len(beginning))
	}
	switch magic := string(beginning[:versionAt]); magic {
	case imageMagic:
	case partialMagic:
		return image{}, errors.New("the save image is incomplete")
	default:
		return image{}, fmt.Errorf("not a save image of libvirt: it begins with %q", magic)
	}
	var order binary.ByteOrder = binary.LittleEndian
	version := order.Uint32(beginning[versionAt:])
	if version > math.MaxUint16 {
		order = binary.BigEndian
		version = order.Uint32(beginning[versionAt:])
	}
	if version == 0 || version > imageVersion {
		return image{}, fmt.Errorf("the save image has version %d, and versions up to %d are known", version, imageVersion)
	}
	length, cookie := order.Uint32(beginning[dataLengthAt:]), order.Uint32(beginning[cookieAt:])
	if length == 0 || length > maxDataLength || cookie >= length {
		return image{}, fmt.Errorf("the header of the save image is invalid: %d bytes of data, with a cookie at %d", length, cookie)
	}
	return image{order: order, dataLength: int(length), cookie: int(cookie)}, nil
}

// replaceDefinition returns the beginning of a save image, up to the memory, with another
// definition of its domain. The length is the same.
func replaceDefinition(beginning []byte, definition string) ([]byte, error) {
	found, err := parseImage(beginning)
	if err != nil {
		return nil, err
	}
	if len(beginning) != found.memoryAt() {
		return nil, fmt.Errorf("the save image has %d bytes before the memory, and its header says %d", len(beginning), found.memoryAt())
	}
	var cookie []byte
	if found.cookie > 0 {
		rest := beginning[imageHeader+found.cookie:]
		end := bytes.IndexByte(rest, 0)
		if end < 0 {
			return nil, errors.New("the cookie of the save image has no end")
		}
		cookie = rest[:end+1]
	}
	data := append([]byte(definition), 0)
	offset := len(data)
	if data = append(data, cookie...); len(data) > found.dataLength {
		return nil, fmt.Errorf("the new definition does not fit in the save image: it has room for %d bytes, and %d are needed", found.dataLength, len(data))
	}
	replaced := make([]byte, len(beginning))
	copy(replaced, beginning[:imageHeader])
	copy(replaced[imageHeader:], data)
	if found.cookie > 0 {
		found.order.PutUint32(replaced[cookieAt:], uint32(offset))
	}
	return replaced, nil
}
