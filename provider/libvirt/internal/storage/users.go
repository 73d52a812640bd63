package storage

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// VolumeRef is a volume as a definition names it. The zero value is none.
type VolumeRef struct {
	Pool string `xml:"pool,attr,omitempty"`
	Name string `xml:"name,attr,omitempty"`
}

// String names the volume for messages and for the record of what is to be undone.
func (v VolumeRef) String() string { return fmt.Sprintf("volume %s in pool %s", v.Name, v.Pool) }

// User is a domain or a volume that uses a file or a volume.
type User struct {
	Name string
	Pool string // of a volume; "" for a domain
}

// String names the user for messages.
func (u User) String() string {
	if u.Pool == "" {
		return fmt.Sprintf("domain %q", u.Name)
	}
	return fmt.Sprintf("volume %q in pool %s", u.Name, u.Pool)
}

// Users are the domains and volumes of a hypervisor that use files and volumes, by what
// they use.
type Users struct {
	byPath   map[string][]User
	byVolume map[VolumeRef][]User
	named    func(domain, metadata string) []VolumeRef
}

func newUsers(named func(domain, metadata string) []VolumeRef) Users {
	return Users{byPath: map[string][]User{}, byVolume: map[VolumeRef][]User{}, named: named}
}

// Of returns the users of a volume with a path, each once.
func (u Users) Of(v VolumeRef, path string) []User {
	var found []User
	for _, by := range slices.Concat(u.byPath[path], u.byVolume[v]) {
		if !slices.Contains(found, by) {
			found = append(found, by)
		}
	}
	return found
}

// ReadUsers reads what all domains use, and the backing stores of all volumes in pools of
// files. named returns the volumes that the metadata of a domain names. It fails if a
// definition cannot be read: what its domain or volume uses would count as unused.
func ReadUsers(conn *libvirt.Connect, named func(domain, metadata string) []VolumeRef) (Users, error) {
	u := newUsers(named)
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return u, fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	var errs []error
	for i := range domains {
		if name, err := domains[i].GetName(); err == nil { // otherwise it is gone
			errs = append(errs, u.readDomain(&domains[i], name))
		}
		_ = domains[i].Free()
	}
	pools, err := FilePools(conn)
	errs = append(errs, err)
	for _, p := range pools {
		errs = append(errs, u.readPool(conn, p.Name))
	}
	return u, errors.Join(errs...)
}

// readDomain adds what a domain uses now, and what it uses when it starts again. A domain
// that no longer exists uses nothing.
func (u Users) readDomain(domain *libvirt.Domain, name string) error {
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
func (u Users) addDomain(name, text string) {
	by := User{Name: name}
	var d libvirtxml.Domain
	if d.Unmarshal(text) != nil {
		return
	}
	if d.Metadata != nil {
		for _, v := range u.named(name, d.Metadata.XML) {
			u.byVolume[v] = append(u.byVolume[v], by)
		}
	}
	if d.Devices == nil {
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
			u.addPath(by, fs.Source.File.File)
		}
	}
}

func (u Users) addChain(by User, chain *libvirtxml.DomainDiskBackingStore) {
	for ; chain != nil; chain = chain.BackingStore {
		u.addSource(by, chain.Source)
	}
}

func (u Users) addSource(by User, s *libvirtxml.DomainDiskSource) {
	switch {
	case s == nil:
	case s.File != nil:
		u.addPath(by, s.File.File)
	case s.Block != nil:
		u.addPath(by, s.Block.Dev)
	case s.Volume != nil:
		v := VolumeRef{Pool: s.Volume.Pool, Name: s.Volume.Volume}
		u.byVolume[v] = append(u.byVolume[v], by)
	}
}

func (u Users) addPath(by User, path string) { u.byPath[path] = append(u.byPath[path], by) }

// readPool adds the backing stores of the volumes of a pool. A pool or a volume that no
// longer exists adds nothing.
func (u Users) readPool(conn *libvirt.Connect, name string) error {
	var errs []error
	err := ForEachVolume(conn, name, func(volume *libvirt.StorageVol) {
		errs = append(errs, u.readVolume(volume, name))
	})
	return errors.Join(append(errs, err)...)
}

// readVolume adds the backing store of a volume.
func (u Users) readVolume(volume *libvirt.StorageVol, pool string) error {
	name, err := volume.GetName()
	if err != nil {
		return err
	}
	text, err := volume.GetXMLDesc(0)
	if LacksVolume(err) || IsPoolStopped(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what volume %s in pool %s is based on: %w", name, pool, virt.StripCodes(err))
	}
	u.addVolume(pool, text)
	return nil
}

// addVolume adds the backing store of a volume, by its definition.
func (u Users) addVolume(pool, text string) {
	var v libvirtxml.StorageVolume
	if v.Unmarshal(text) != nil || v.BackingStore == nil {
		return
	}
	if path := strings.TrimSpace(v.BackingStore.Path); path != "" {
		u.addPath(User{v.Name, pool}, path)
	}
}
