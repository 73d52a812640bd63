package layers

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Warm is what a warm slot has besides the disks of its domain: the memory of a running
// machine, and how that machine is reached.
type Warm struct {
	Slot    int               `xml:"slot"`
	Memory  storage.VolumeRef `xml:"memory"`            // QEMU's migration stream
	Seed    storage.VolumeRef `xml:"seed"`              // of cloud-init; none without it
	Address string            `xml:"address"`           // that the system has configured
	MAC     string            `xml:"mac"`               // of the interface with the address
	Network string            `xml:"network,omitempty"` // that reserves the address; "" for none
	HostKey string            `xml:"hostKey,omitempty"` // of SSH, as in authorized_keys; "" if it is not known
	Disks   []string          `xml:"disk"`              // when each disk was last written to; none in a slot of an earlier release
}

// ReadUsers reads what the domains and volumes of a hypervisor use. A warm slot also uses
// volumes that are no disks of its domain.
func ReadUsers(conn *libvirt.Connect) (storage.Users, error) {
	return storage.ReadUsers(conn, warmVolumes)
}

// warmVolumes are the volumes of a warm slot besides the disks of its domain, by the metadata
// of a domain. There are none for any other domain.
func warmVolumes(domain, metadata string) []storage.VolumeRef {
	if m := parseMetadata(domain, metadata); m != nil && m.Warm != nil {
		return m.Warm.volumes()
	}
	return nil
}

func (w *Warm) volumes() []storage.VolumeRef {
	if w.Seed == (storage.VolumeRef{}) {
		return []storage.VolumeRef{w.Memory}
	}
	return []storage.VolumeRef{w.Memory, w.Seed}
}

// Saved is a machine whose memory has been saved, and whose disks nothing writes to any
// more.
type Saved struct {
	Warm
	Definition *libvirtxml.Domain // while it ran
	Clone      *domainxml.Clone
	SeedTarget string // disk of the seed
	Label      string
	Parent     string        // name of its base domain
	Took       time.Duration // from its start until it was ready
}

// PublishWarm makes a saved machine the layer with a key. Its volumes are those of the
// layer from then on. If the layer was published meanwhile, it returns that one.
func PublishWarm(conn *libvirt.Connect, key Key, of Saved) (*Layer, error) {
	definition := of.Definition
	forgetHost(definition)
	disks, err := takeOverlays(conn, definition, of.Clone)
	if err != nil {
		return nil, err
	}
	memory, err := allocation(conn, of.Memory)
	if err != nil {
		return nil, err
	}
	if of.Seed != (storage.VolumeRef{}) {
		for n := range definition.Devices.Disks {
			if d := &definition.Devices.Disks[n]; d.Target != nil && d.Target.Dev == of.SeedTarget {
				d.Source, d.BackingStore = Disk{Pool: of.Seed.Pool, Volume: of.Seed.Name}.source(), nil
			}
		}
	}
	m := newMetadata(KindWarm, key, of.Parent, of.Label, disks+memory)
	m.Provisioned = of.Took.Round(100 * time.Millisecond).Seconds()
	m.Warm = &of.Warm
	if m.Warm.Disks, err = lastWrites(conn, m.Key, definition); err != nil {
		return nil, err
	}
	return publishClone(conn, definition, m, of.Clone)
}

// lastWrites returns when each disk of a slot that is a volume was last written to.
func lastWrites(conn *libvirt.Connect, key Key, definition *libvirtxml.Domain) ([]string, error) {
	var found []string
	for _, d := range definition.Devices.Disks {
		if d.Source == nil || d.Source.Volume == nil || d.ReadOnly != nil {
			continue
		}
		volume, err := storage.LookUpVolume(conn, storage.VolumeRef{Pool: d.Source.Volume.Pool, Name: d.Source.Volume.Volume})
		if err != nil {
			return nil, fmt.Errorf("reading the disks of layer %s: %w", key.Short(), err)
		}
		stamps, err := storage.Timestamps(volume)
		_ = volume.Free()
		if err != nil {
			return nil, fmt.Errorf("reading volume %s: %w", d.Source.Volume.Volume, err)
		}
		found = append(found, d.Target.Dev+" "+stamps.Mtime)
	}
	return found, nil
}

// CheckDisks fails if the disks of a slot have changed since its memory was saved, for instance
// because its domain was started: a system that is restored would corrupt its file systems. It
// succeeds if that cannot be determined.
func (l *Layer) CheckDisks(conn *libvirt.Connect) error {
	if len(l.Warm.Disks) == 0 {
		return nil
	}
	now, err := lastWrites(conn, l.Key, l.Definition)
	if err == nil && !slices.Equal(now, l.Warm.Disks) {
		return fmt.Errorf("its disks have changed since its memory was saved: domain %s must not be started", l.Name)
	}
	return nil
}

// forgetHost removes what libvirt chose for a running machine on its hypervisor. The
// addresses of devices stay: they are part of the saved state.
func forgetHost(d *libvirtxml.Domain) {
	d.SecLabel = nil
	for n := range d.Devices.Interfaces {
		i := &d.Devices.Interfaces[n]
		if i.Target != nil && strings.HasPrefix(i.Target.Dev, "vnet") {
			i.Target = nil
		}
		if i.Source != nil && i.Source.Network != nil {
			i.Source.Network.PortID, i.Source.Network.Bridge = "", ""
		}
	}
}

// readOnlyFiles identifies the content of what a running system has read from the files of its
// base that clones do not write to: the kernel, and read-only disks such as cdroms. The kernel of a
// hypervisor of another machine is identified by its path unless it is in a pool. If the changes of
// a file cannot be seen, it returns an error with what it has found of the other files.
func readOnlyFiles(conn *libvirt.Connect, base *libvirtxml.Domain) ([]string, error) {
	var found []string
	var unseen error
	for _, f := range kernelFiles(base) {
		identity, err := fileIdentity(conn, f.what, f.path, 0)
		if err != nil && !virt.IsLocal(conn) {
			identity, err = f.path, nil
		}
		if err != nil {
			unseen = cmp.Or(unseen, err)
			continue
		}
		found = append(found, f.what+" "+identity)
	}
	if base.Devices == nil {
		return found, unseen
	}
	for n := range base.Devices.Disks {
		d := &base.Devices.Disks[n]
		if d.Source == nil || d.Target == nil || d.ReadOnly == nil && d.Device != "cdrom" && d.Device != "floppy" {
			continue
		}
		identity, err := readOnlyDisk(conn, d)
		if err != nil {
			unseen = cmp.Or(unseen, err)
		}
		if identity != "" {
			found = append(found, identity)
		}
	}
	return found, unseen
}

// readOnlyDisk identifies the content of a disk, or is "" for an empty drive.
func readOnlyDisk(conn *libvirt.Connect, d *libvirtxml.DomainDisk) (string, error) {
	what := "disk " + d.Target.Dev
	path, err := pathOf(conn, d.Source)
	if err != nil {
		return "", fmt.Errorf("%s of its base %w", what, err)
	}
	if path == "" {
		return "", nil
	}
	identity, err := fileIdentity(conn, what, path, 0)
	if err != nil {
		return "", err
	}
	return what + " " + identity, nil
}

// kernelFile is a file that QEMU loads into the memory of a machine.
type kernelFile struct{ what, path string }

func kernelFiles(base *libvirtxml.Domain) []kernelFile {
	if base.OS == nil {
		return nil
	}
	all := []kernelFile{{"the kernel", base.OS.Kernel}, {"the initrd", base.OS.Initrd}, {"the device tree", base.OS.DTB}}
	return slices.DeleteFunc(all, func(f kernelFile) bool { return f.path == "" })
}

// pathOf returns the path of a read-only disk that is a file or a volume. It is "" for an empty
// drive.
func pathOf(conn *libvirt.Connect, s *libvirtxml.DomainDiskSource) (string, error) {
	switch {
	case s.File != nil:
		return s.File.File, nil
	case s.Volume != nil:
		return storage.VolumePath(conn, storage.VolumeRef{Pool: s.Volume.Pool, Name: s.Volume.Volume})
	case s.Block != nil && s.Block.Dev == "":
		return "", nil
	case s.Block != nil, s.Network != nil, s.Dir != nil, s.NVME != nil, s.VHostUser != nil, s.VHostVDPA != nil:
		return "", errors.New("is no file, so its changes cannot be seen")
	}
	return "", nil
}
