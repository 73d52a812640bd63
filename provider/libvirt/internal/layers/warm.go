package layers

import (
	"fmt"
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
	Slot    int    `xml:"slot"`
	Memory  Volume `xml:"memory"`            // QEMU's migration stream
	Seed    Volume `xml:"seed"`              // of cloud-init; "" without one
	Address string `xml:"address"`           // that the system has configured
	MAC     string `xml:"mac"`               // of the interface with the address
	Network string `xml:"network,omitempty"` // that reserves the address; "" for none
	HostKey string `xml:"hostKey,omitempty"` // of SSH, as in authorized_keys; "" if it is not known
}

// Volume is a volume of a pool. The zero value is none.
type Volume struct {
	Pool string `xml:"pool,attr,omitempty"`
	Name string `xml:"name,attr,omitempty"`
}

// ReadUsers reads what the domains and volumes of a hypervisor use. A warm slot also uses
// volumes that are no disks of its domain.
func ReadUsers(conn *libvirt.Connect) (storage.Users, error) {
	return storage.ReadUsers(conn, warmVolumes)
}

// warmVolumes are the volumes of a warm slot besides the disks of its domain, by the metadata
// of a domain. There are none for any other domain.
func warmVolumes(domain, metadata string) (found []storage.VolumeRef) {
	if m := parseMetadata(domain, metadata); m != nil && m.Warm != nil {
		for _, v := range m.Warm.volumes() {
			found = append(found, storage.VolumeRef(v))
		}
	}
	return found
}

func (w *Warm) volumes() []Volume {
	if w.Seed.Name == "" {
		return []Volume{w.Memory}
	}
	return []Volume{w.Memory, w.Seed}
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
	bytes, err := allocation(conn, of.Memory.Pool, of.Memory.Name)
	if err != nil {
		return nil, fmt.Errorf("reading the size of volume %s: %w", of.Memory.Name, virt.StripCodes(err))
	}
	for n := range of.Clone.Overlays {
		o := &of.Clone.Overlays[n]
		if err := setVolume(definition, o); err != nil {
			return nil, err
		}
		size, err := allocation(conn, o.Pool, o.Volume)
		if err != nil {
			return nil, fmt.Errorf("reading the size of volume %s: %w", o.Volume, virt.StripCodes(err))
		}
		bytes += size
	}
	if of.Seed != (Volume{}) {
		for n := range definition.Devices.Disks {
			if d := &definition.Devices.Disks[n]; d.Target != nil && d.Target.Dev == of.SeedTarget {
				d.Source, d.BackingStore = Disk{Pool: of.Seed.Pool, Volume: of.Seed.Name}.source(), nil
			}
		}
	}
	m := newMetadata(KindWarm, key, of.Parent, of.Label, bytes)
	m.Provisioned = of.Took.Round(100 * time.Millisecond).Seconds()
	m.Warm = &of.Warm
	return publish(conn, definition, m)
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
