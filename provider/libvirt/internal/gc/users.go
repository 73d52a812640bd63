package gc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
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
// backing store of a volume that is not overcast's. It fails if a definition cannot be
// read: what its domain or volume uses would count as unused.
func readUsers(conn *libvirt.Connect, ours []listed, pools []storage.FilePool) (users, error) {
	u := newUsers()
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return u, fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	var errs []error
	for i := range domains {
		name, err := domains[i].GetName()
		if err == nil && !slices.ContainsFunc(ours, func(m listed) bool { return m.Name == name }) {
			errs = append(errs, u.readDomain(&domains[i], name))
		}
		_ = domains[i].Free()
	}
	for _, p := range pools {
		errs = append(errs, u.readPool(conn, p.Name))
	}
	return u, errors.Join(errs...)
}

// readDomain adds what a domain uses now, and what it uses when it starts again. A domain
// that no longer exists uses nothing.
func (u users) readDomain(domain *libvirt.Domain, name string) error {
	for _, flags := range []libvirt.DomainXMLFlags{0, libvirt.DOMAIN_XML_INACTIVE} {
		text, err := domain.GetXMLDesc(flags)
		if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading which volumes domain %q uses: %w", name, virt.StripCodes(err))
		}
		u.addDomain(name, text)
	}
	return nil
}

// addDomain adds what a domain uses, by its definition.
func (u users) addDomain(name, text string) {
	by := fmt.Sprintf("domain %q", name)
	var d libvirtxml.Domain
	if d.Unmarshal(text) != nil || d.Devices == nil {
		return
	}
	if d.Metadata != nil {
		for _, v := range layers.WarmVolumes(name, d.Metadata.XML) {
			u.byVolume[volumeRef{v.Pool, v.Name}] = by
		}
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

// readPool adds the backing stores of the volumes of a pool that are not overcast's. A
// pool or a volume that no longer exists adds nothing.
func (u users) readPool(conn *libvirt.Connect, name string) error {
	pool, err := conn.LookupStoragePoolByName(name)
	if virt.IsCode(err, libvirt.ERR_NO_STORAGE_POOL) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up pool %s: %w", name, virt.StripCodes(err))
	}
	defer pool.Free()
	volumes, err := pool.ListAllStorageVolumes(0)
	if err != nil && !virt.IsCode(err, libvirt.ERR_OPERATION_INVALID) { // it has been stopped
		return fmt.Errorf("listing the volumes of pool %s: %w", name, virt.StripCodes(err))
	}
	var errs []error
	for i := range volumes {
		errs = append(errs, u.readVolume(&volumes[i], name))
		_ = volumes[i].Free()
	}
	return errors.Join(errs...)
}

// readVolume adds the backing store of a volume that is not overcast's.
func (u users) readVolume(volume *libvirt.StorageVol, pool string) error {
	name, err := volume.GetName()
	if err != nil {
		return err
	}
	if _, ours := owner.ParseName(name); ours {
		return nil
	}
	text, err := volume.GetXMLDesc(0)
	if virt.IsCode(err, libvirt.ERR_NO_STORAGE_VOL) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what volume %s in pool %s is based on: %w", name, pool, virt.StripCodes(err))
	}
	u.addVolume(pool, text)
	return nil
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
