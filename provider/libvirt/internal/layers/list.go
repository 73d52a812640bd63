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

// Users returns the domains and volumes that refer to the volumes of each layer, by
// the name of the layer.
func Users(conn *libvirt.Connect, all []*Layer) (map[string][]string, error) {
	texts, err := readTexts(conn)
	if err != nil {
		return nil, err
	}
	users := map[string][]string{}
	for _, l := range all {
		users[l.Name] = usersIn(texts, l.Name, l.volumes())
	}
	return users, nil
}

// usersIn returns the names of the definitions that contain the name of a volume of
// a layer, except those of the layer itself.
func usersIn(texts map[string]string, layer string, volumes map[string]string) []string {
	var found []string
	for name, text := range texts {
		if _, own := volumes[name]; own || name == layer {
			continue
		}
		for volume := range volumes {
			if strings.Contains(text, volume) {
				found = append(found, name)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

// readTexts reads the definitions of all domains and volumes, by their names.
func readTexts(conn *libvirt.Connect) (map[string]string, error) {
	texts := map[string]string{}
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	for n := range domains {
		name, err := domains[n].GetName()
		if err == nil { // otherwise it is gone
			texts[name], _ = domains[n].GetXMLDesc(0)
		}
		_ = domains[n].Free()
	}
	pools, err := storage.FilePools(conn)
	if err != nil {
		return nil, err
	}
	for _, p := range pools {
		if err := addVolumes(conn, p.Name, texts); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

func addVolumes(conn *libvirt.Connect, poolName string, texts map[string]string) error {
	pool, err := conn.LookupStoragePoolByName(poolName)
	if virt.IsCode(err, libvirt.ERR_NO_STORAGE_POOL) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up pool %s: %w", poolName, virt.StripCodes(err))
	}
	defer pool.Free()
	volumes, err := pool.ListAllStorageVolumes(0)
	if err != nil {
		return fmt.Errorf("listing the volumes of pool %s: %w", poolName, virt.StripCodes(err))
	}
	for n := range volumes {
		if name, err := volumes[n].GetName(); err == nil {
			texts[name], _ = volumes[n].GetXMLDesc(0)
		}
		_ = volumes[n].Free()
	}
	return nil
}

// Remove removes a layer: its domain, and then its volumes.
func (l *Layer) Remove(conn *libvirt.Connect) error {
	if err := virt.RemoveDomain(conn, l.Name); err != nil {
		return fmt.Errorf("removing layer %s: %w", l.Name, virt.StripCodes(err))
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
