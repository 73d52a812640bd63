package gc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// volumeRef is a volume as a definition names it.
type volumeRef struct{ pool, name string }

// users are the domains and volumes that use files and volumes, by what they use.
type users struct {
	byPath   map[string]string
	byVolume map[volumeRef]string
}

func newUsers() users {
	return users{byPath: map[string]string{}, byVolume: map[volumeRef]string{}}
}

// readUsers reads what the domains that are not overcast's use, and which files are the
// backing store of a volume that is not overcast's.
func readUsers(conn *libvirt.Connect, ours []listed, pools []storage.FilePool) (users, error) {
	u := newUsers()
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return u, fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	for i := range domains {
		name, err := domains[i].GetName()
		if err == nil && !slices.ContainsFunc(ours, func(m listed) bool { return m.Name == name }) {
			for _, flags := range []libvirt.DomainXMLFlags{0, libvirt.DOMAIN_XML_INACTIVE} {
				if text, err := domains[i].GetXMLDesc(flags); err == nil { // otherwise it no longer exists
					u.addDomain(name, text)
				}
			}
		}
		_ = domains[i].Free()
	}
	for _, p := range pools {
		u.addPool(conn, p.Name)
	}
	return u, nil
}

// addDomain adds what a domain uses, by its definition.
func (u users) addDomain(name, text string) {
	by := fmt.Sprintf("domain %q", name)
	var d libvirtxml.Domain
	if d.Unmarshal(text) != nil || d.Devices == nil {
		return
	}
	for _, disk := range d.Devices.Disks {
		u.addSource(by, disk.Source)
		u.addChain(by, disk.BackingStore)
		if disk.Mirror != nil {
			u.addSource(by, disk.Mirror.Source)
			u.addChain(by, disk.Mirror.BackingStore)
		}
	}
	for _, fs := range d.Devices.Filesystems {
		if fs.Source != nil && fs.Source.File != nil {
			u.byPath[fs.Source.File.File] = by
		}
	}
}

func (u users) addChain(by string, chain *libvirtxml.DomainDiskBackingStore) {
	for ; chain != nil; chain = chain.BackingStore {
		u.addSource(by, chain.Source)
	}
}

func (u users) addSource(by string, s *libvirtxml.DomainDiskSource) {
	switch {
	case s == nil:
	case s.File != nil:
		u.byPath[s.File.File] = by
	case s.Block != nil:
		u.byPath[s.Block.Dev] = by
	case s.Volume != nil:
		u.byVolume[volumeRef{s.Volume.Pool, s.Volume.Volume}] = by
	}
}

// addPool adds the backing stores of the volumes of a pool. A pool that cannot be read adds
// nothing.
func (u users) addPool(conn *libvirt.Connect, name string) {
	pool, err := conn.LookupStoragePoolByName(name)
	if err != nil {
		return
	}
	defer pool.Free()
	volumes, err := pool.ListAllStorageVolumes(0)
	if err != nil {
		return
	}
	for i := range volumes {
		if text, err := volumes[i].GetXMLDesc(0); err == nil {
			u.addVolume(name, text)
		}
		_ = volumes[i].Free()
	}
}

// addVolume adds the backing store of a volume, by its definition.
func (u users) addVolume(pool, text string) {
	var v libvirtxml.StorageVolume
	if v.Unmarshal(text) != nil || v.BackingStore == nil {
		return
	}
	if _, ours := owner.ParseName(v.Name); ours {
		return
	}
	if path := strings.TrimSpace(v.BackingStore.Path); path != "" {
		u.byPath[path] = fmt.Sprintf("volume %q in pool %s", v.Name, pool)
	}
}
