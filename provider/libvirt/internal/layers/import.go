package layers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/internal/image"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Steps of a set-up that a layer adds.
const (
	StepImporting = "importing image"
	StepImported  = "imported image"
	StepWaiting   = "waiting for layer"
)

// undoTimeout limits the removal of a volume after a failed import.
const undoTimeout = 30 * time.Second

// Import is the import of an image into a pool.
type Import struct {
	Label    string // of the host
	Pool     string
	Source   string // of the image, for messages
	Image    image.Image
	Hardware Hardware // of the layer's domain
	Host     Host
}

// Do returns the layer of the image. It uploads the image unless the hypervisor
// has it. One process uploads; the others wait until it has finished.
func (i Import) Do(ctx context.Context, conn *libvirt.Connect) (*Layer, error) {
	key := Key(i.Image.SHA256)
	lock, found, err := Acquire(ctx, conn, key, i.Label)
	if err != nil || found != nil {
		return found, err
	}
	defer lock.Release()
	provider.Report(ctx, StepImporting, fmt.Sprintf("%s into pool %s", i.Source, i.Pool))
	var undo storage.Undo
	l, err := i.upload(ctx, conn, key, &undo)
	if err != nil {
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("importing %s into pool %s: %w", i.Source, i.Pool, err), undo.Run(removing, conn))
	}
	provider.Report(ctx, StepImported, l.Name)
	return l, nil
}

// Acquire returns the layer of a key, if it is published, or else the lock that
// its builder holds. While another process of this machine builds the layer, it
// waits.
func Acquire(ctx context.Context, conn *libvirt.Connect, key Key, label string) (*filelock.Ticket, *Layer, error) {
	if found, err := Find(conn, key); err != nil || found != nil {
		return nil, found, err
	}
	lock, err := Lock(ctx, conn, key, label)
	if err != nil {
		return nil, nil, err
	}
	found, err := Find(conn, key)
	if err != nil || found != nil {
		return nil, found, errors.Join(err, lock.Release())
	}
	return lock, nil, nil
}

// Lock waits for the lock that the builder of a layer holds.
func Lock(ctx context.Context, conn *libvirt.Connect, key Key, label string) (*filelock.Ticket, error) {
	host, err := conn.GetHostname()
	if err != nil {
		return nil, fmt.Errorf("asking the hypervisor for its name: %w", virt.StripCodes(err))
	}
	dir, err := filelock.Dir()
	if err != nil {
		return nil, err
	}
	wait := &owner.WaitReporter{Step: StepWaiting}
	lock, err := filelock.Acquire(ctx, dir, "layer-"+NewKey(host, string(key)).Short(), owner.NewHolder(label), func(h filelock.Holder) {
		wait.Report(ctx, h.String(), key.Short()+", which is built by "+h.String())
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for layer %s: %w", key.Short(), err)
	}
	return lock, nil
}

// upload creates the volume, recorded in undo, fills it and publishes the layer.
func (i Import) upload(ctx context.Context, conn *libvirt.Connect, key Key, undo *storage.Undo) (*Layer, error) {
	file, err := os.Open(i.Image.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	name := owner.NewName("layer-"+key.Short(), owner.Self()) + "-image." + string(i.Image.Format)
	undo.RecordVolume(storage.VolumeRef{Pool: i.Pool, Name: name})
	volume, err := storage.CreateVolume(conn, i.Pool, libvirtxml.StorageVolume{
		Name:     name,
		Capacity: &libvirtxml.StorageVolumeSize{Value: uint64(i.Image.VirtualSize)},
		Target:   &libvirtxml.StorageVolumeTarget{Format: &libvirtxml.StorageVolumeTargetFormat{Type: string(i.Image.Format)}},
	})
	if err != nil {
		return nil, err
	}
	defer volume.Free()
	sent := sha256.New()
	if err := Upload(ctx, conn, volume, io.TeeReader(file, sent), info.Size()); err != nil {
		return nil, err
	}
	if err := i.checkSent(sent); err != nil {
		return nil, err
	}
	definition, err := i.Hardware.Definition(i.Host, Disk{Pool: i.Pool, Volume: name, Format: string(i.Image.Format)})
	if err != nil {
		return nil, err
	}
	l, err := publish(conn, definition, newMetadata(KindImage, key, i.Source, i.Label, uint64(info.Size())))
	if err != nil || l.Has(name) {
		return l, err
	}
	return l, undo.Run(ctx, conn)
}

// checkSent fails if the user's file had another content when it was sent than when its
// digest was computed. The digest of a compressed image is that of the compressed file,
// and the files of the image cache do not change.
func (i Import) checkSent(sent hash.Hash) error {
	got := hex.EncodeToString(sent.Sum(nil))
	if i.Image.Cached || got == i.Image.SHA256 {
		return nil
	}
	return fmt.Errorf("%s changed while it was imported: try again when it is complete", i.Image.Path)
}

// uploadBlock is how much is sent in one message: the largest that libvirt takes.
const uploadBlock = 256 << 10

// Download reads the first size bytes of a volume, through libvirt. A size of 0 is no limit.
func Download(ctx context.Context, conn *libvirt.Connect, volume *libvirt.StorageVol, to io.Writer, size int64) error {
	stream, err := conn.NewStream(0)
	if err != nil {
		return virt.StripCodes(err)
	}
	defer stream.Free()
	if err := volume.Download(stream, 0, uint64(size), 0); err != nil {
		return fmt.Errorf("downloading: %w", virt.StripCodes(err))
	}
	if err := receive(ctx, stream, to); err != nil {
		_ = stream.Abort() // the error is known
		return fmt.Errorf("downloading: %w", virt.StripCodes(err))
	}
	return virt.StripCodes(stream.Finish())
}

func receive(ctx context.Context, stream *libvirt.Stream, to io.Writer) error {
	block := make([]byte, uploadBlock)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := stream.Recv(block)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := to.Write(block[:n]); err != nil {
			return err
		}
	}
}

// Upload writes size bytes of from to a volume, through libvirt. A size of 0 is no limit.
func Upload(ctx context.Context, conn *libvirt.Connect, volume *libvirt.StorageVol, from io.Reader, size int64) error {
	stream, err := conn.NewStream(0)
	if err != nil {
		return virt.StripCodes(err)
	}
	defer stream.Free()
	if err := volume.Upload(stream, 0, uint64(size), 0); err != nil {
		return fmt.Errorf("uploading: %w", virt.StripCodes(err))
	}
	if err := send(ctx, stream, from); err != nil {
		_ = stream.Abort() // the error is known
		return fmt.Errorf("uploading: %w", virt.StripCodes(err))
	}
	return virt.StripCodes(stream.Finish())
}

func send(ctx context.Context, stream *libvirt.Stream, from io.Reader) error {
	block := make([]byte, uploadBlock)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(from, block)
		for rest := block[:n]; len(rest) > 0; {
			sent, err := stream.Send(rest)
			if err != nil {
				return err
			}
			rest = rest[sent:]
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// Base is the definition of a machine with the image of the layer as its disk. The
// hardware may be another than that of the layer's domain.
func (l *Layer) Base(h Hardware, on Host) (*libvirtxml.Domain, error) {
	for n := range l.Definition.Devices.Disks {
		d := &l.Definition.Devices.Disks[n]
		if d.Source == nil || d.Source.Volume == nil || d.Driver == nil {
			continue
		}
		base, err := h.Definition(on, Disk{Pool: d.Source.Volume.Pool, Volume: d.Source.Volume.Volume, Format: d.Driver.Type})
		if err != nil {
			return nil, err
		}
		base.Name, base.UUID = l.Name, l.Key.UUID()
		return base, nil
	}
	return nil, fmt.Errorf("domain %s has no volume with an image: remove it (overcast cache prune --all)", l.Name)
}

// VolumeBase is the definition of a machine with a volume of the hypervisor as its
// disk.
func VolumeBase(conn *libvirt.Connect, pool, volume string, h Hardware, on Host) (*libvirtxml.Domain, error) {
	format, err := VolumeFormat(conn, pool, volume)
	if err != nil {
		return nil, err
	}
	base, err := h.Definition(on, Disk{Pool: pool, Volume: volume, Format: format})
	if err != nil {
		return nil, err
	}
	base.Name, base.UUID = pool+"/"+volume, NewKey("volume", pool, volume).UUID()
	return base, nil
}

// VolumeFormat returns the format of a volume, "qcow2" or "raw".
func VolumeFormat(conn *libvirt.Connect, poolName, name string) (string, error) {
	pool, err := conn.LookupStoragePoolByName(poolName)
	if err != nil {
		return "", fmt.Errorf("image %s/%s: looking up pool %[1]s: %[3]w: check image; a local file is written ./%[1]s/%[2]s", poolName, name, virt.StripCodes(err))
	}
	defer pool.Free()
	volume, err := pool.LookupStorageVolByName(name)
	if err != nil {
		return "", fmt.Errorf("image %s/%s: looking up the volume: %w: check image (virsh vol-list %[1]s)", poolName, name, virt.StripCodes(err))
	}
	defer volume.Free()
	text, err := volume.GetXMLDesc(0)
	if err != nil {
		return "", fmt.Errorf("image %s/%s: %w", poolName, name, virt.StripCodes(err))
	}
	var definition libvirtxml.StorageVolume
	if err := definition.Unmarshal(text); err != nil {
		return "", fmt.Errorf("image %s/%s: %w", poolName, name, err)
	}
	if definition.Target == nil || definition.Target.Format == nil {
		return string(image.Raw), nil
	}
	return definition.Target.Format.Type, nil
}

// CreateSecretVolume creates a raw volume that other users of the hypervisor's
// machine cannot read, writes the content, and returns its path.
func CreateSecretVolume(ctx context.Context, conn *libvirt.Connect, pool, name string, content []byte) (string, error) {
	volume, err := storage.CreateVolume(conn, pool, libvirtxml.StorageVolume{
		Name:     name,
		Capacity: &libvirtxml.StorageVolumeSize{Value: uint64(len(content))},
		Target: &libvirtxml.StorageVolumeTarget{
			Format:      &libvirtxml.StorageVolumeTargetFormat{Type: "raw"},
			Permissions: &libvirtxml.StorageVolumeTargetPermissions{Mode: "0600"},
		},
	})
	if err != nil {
		return "", err
	}
	defer volume.Free()
	if err := Upload(ctx, conn, volume, bytes.NewReader(content), int64(len(content))); err != nil {
		return "", fmt.Errorf("volume %s: %w", name, err)
	}
	return volume.GetPath()
}
