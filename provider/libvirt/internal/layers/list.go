package layers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// List returns the layers of a hypervisor, in the order of their names.
func List(conn *libvirt.Connect) ([]*Layer, error) { return list(conn, read) }

// ListJava returns the domains that Overcast for Java has cached, in the order of their
// names. They are not layers: they are neither used nor removed.
func ListJava(conn *libvirt.Connect) ([]*Layer, error) { return list(conn, readJava) }

// list returns what read returns for each domain, without nil.
func list(conn *libvirt.Connect, read func(*libvirt.Domain) (*Layer, error)) ([]*Layer, error) {
	domains, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	var found []*Layer
	var errs []error
	for n := range domains {
		l, err := read(&domains[n])
		errs = append(errs, err)
		if l != nil {
			found = append(found, l)
		}
		_ = domains[n].Free()
	}
	slices.SortFunc(found, func(a, b *Layer) int { return strings.Compare(a.Name, b.Name) })
	return found, errors.Join(errs...)
}

// readJava returns nil for a domain that Overcast for Java has not cached, or that is
// gone. Its clones have metadata, too, but none about provisioning.
func readJava(domain *libvirt.Domain) (*Layer, error) {
	definition, err := virt.ReadDefinition(domain, libvirt.DOMAIN_XML_INACTIVE)
	if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the definition of a domain: %w", virt.StripCodes(err))
	}
	if definition.Metadata == nil {
		return nil, nil
	}
	java := owner.ParseJavaMetadata(definition.Metadata.XML)
	if java == nil || java.Provisioned == "" {
		return nil, nil
	}
	l := &Layer{Metadata: Metadata{Name: definition.Name, Kind: KindJava, Parent: java.Parent}, Definition: definition}
	l.Created, _ = time.Parse(time.RFC3339, java.Created)
	return l, nil
}

// volumes are the volumes that were created for the layer, with their pools.
func (l *Layer) volumes() map[string]string {
	found := map[string]string{}
	if l.Warm != nil {
		for _, v := range l.Warm.volumes() {
			found[v.Name] = v.Pool
		}
	}
	if l.Definition.Devices == nil {
		return found
	}
	for n := range l.Definition.Devices.Disks {
		s := l.Definition.Devices.Disks[n].Source
		if s != nil && s.Volume != nil && l.owns(s.Volume.Volume) {
			found[s.Volume.Volume] = s.Volume.Pool
		}
	}
	return found
}

// owns reports whether a volume of the layer's domain belongs to the layer, by its name. A
// warm slot has the volumes of the clone that was saved.
func (l *Layer) owns(volume string) bool {
	if l.Warm != nil {
		_, ours := owner.ParseName(volume)
		return ours
	}
	return strings.HasPrefix(volume, l.Name+"-")
}

// Has reports whether a volume was created for the layer.
func (l *Layer) Has(volume string) bool {
	_, ok := l.volumes()[volume]
	return ok
}

// Users returns the names of the domains and volumes that use the volumes of each layer,
// by the name of the layer. A pool that is stopped uses the layers that have a volume in
// it: they can neither be examined nor removed. Users fails if anything else cannot be
// read that may use one.
func Users(conn *libvirt.Connect, all []*Layer) (map[string][]string, error) {
	users, err := ReadUsers(conn)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, l := range all {
		for volume, pool := range l.volumes() {
			v := storage.VolumeRef{Pool: pool, Name: volume}
			path, err := storage.VolumePath(conn, v)
			if storage.IsPoolStopped(err) {
				found[l.Name] = append(found[l.Name], "pool "+pool+" (stopped)")
				continue
			}
			if err != nil {
				return nil, err
			}
			found[l.Name] = append(found[l.Name], l.others(users.Of(v, path))...)
		}
		slices.Sort(found[l.Name])
		found[l.Name] = slices.Compact(found[l.Name])
	}
	return found, nil
}

// CheckVolumes fails with the error of libvirt if the layer lacks a volume.
func (l *Layer) CheckVolumes(conn *libvirt.Connect) error {
	for volume, pool := range l.volumes() {
		v, err := storage.LookUpVolume(conn, storage.VolumeRef{Pool: pool, Name: volume})
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.Name, err)
		}
		_ = v.Free()
	}
	return nil
}

// others returns the names of users other than the layer itself.
func (l *Layer) others(users []storage.User) (names []string) {
	volumes := l.volumes()
	for _, by := range users {
		pool, own := volumes[by.Name]
		if by.Pool == "" && by.Name == l.Name || own && by.Pool == pool {
			continue
		}
		names = append(names, by.Name)
	}
	return names
}

// Remove removes a layer: its domain, and then its volumes. It fails with a
// *[RunningError] if the domain has been started.
func (l *Layer) Remove(conn *libvirt.Connect) error {
	if err := l.undefine(conn); err != nil {
		return err
	}
	var errs []error
	if l.Warm != nil {
		errs = append(errs, l.Warm.releaseAddress(conn))
	}
	for volume, pool := range l.volumes() {
		if err := storage.DeleteVolume(conn, pool, volume); err != nil {
			errs = append(errs, fmt.Errorf("removing layer %s: volume %s in pool %s: %w", l.Name, volume, pool, virt.StripCodes(err)))
		}
	}
	return errors.Join(errs...)
}

// RunningError reports that a layer is not removed because its domain has been started.
type RunningError struct{ Domain, State string }

// Error names the domain, its state, and what to do.
func (e *RunningError) Error() string {
	return fmt.Sprintf("layer %s is kept: its domain is %s: shut it off first (virsh shutdown, or destroy)", e.Domain, e.State)
}

// undefine removes the domain of a layer. It fails with a *[RunningError] if the domain
// has been started. A domain that no longer exists is not an error.
func (l *Layer) undefine(conn *libvirt.Connect) error {
	domain, err := conn.LookupDomainByName(l.Name)
	if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	var state string
	if err == nil {
		defer domain.Free()
		state, err = virt.BaseState(domain)
	}
	if err == nil && state != "" {
		return &RunningError{Domain: l.Name, State: state}
	}
	if err == nil {
		err = virt.Undefine(domain)
	}
	if err != nil && !virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return fmt.Errorf("removing layer %s: %w", l.Name, virt.StripCodes(err))
	}
	return nil
}
