package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Made is something on a hypervisor that overcast has made: a clone's domain,
// a volume of a clone's, or a pool that stands in for a folder for a moment.
type Made struct {
	Kind    string    `json:"kind"` // domain, volume or pool
	Name    string    `json:"name"`
	Pool    string    `json:"pool,omitempty"`   // of a volume
	Label   string    `json:"label,omitempty"`  // of the host
	Parent  string    `json:"parent,omitempty"` // of a domain: its base domain
	State   string    `json:"state,omitempty"`  // of a domain, in virsh's words
	Created time.Time `json:"created,omitzero"` // zero where it is not known
	Owner   string    `json:"owner"`            // the process that made it
	Fate    string    `json:"fate"`             // of the owner: alive, gone, or unknown from this machine
	Kept    bool      `json:"kept,omitempty"`   // it was left for a person to look at
	// Left is why the sweep does not touch it; "" for what it removes.
	Left string `json:"left,omitempty"`

	path  string // of a volume
	clone string // whose it is
}

// String names the thing and whose it is.
func (m Made) String() string {
	where := ""
	if m.Pool != "" {
		where = " in pool " + m.Pool
	}
	return fmt.Sprintf("%s %s%s (%s, %s)", m.Kind, m.Name, where, m.Owner, m.Fate)
}

// List tells what overcast has made on a hypervisor, domains first, and what a
// sweep would do about each. Domains made by Overcast for Java are listed, too;
// they are never swept. With an error, the answer is what could be looked at.
func List(ctx context.Context, url string) ([]Made, error) {
	pool := newConnections()
	on, release, err := pool.acquire(ctx, url)
	if err != nil {
		return nil, err
	}
	defer release()
	made, err := survey(on.conn, SweepOptions{Kept: true})
	if err != nil {
		err = fmt.Errorf("listing what overcast has made at %s: %w", shownURL(url), err)
	}
	return made, err
}

// volumeLease is how long a volume is left alone that no domain uses and whose
// owner cannot be seen from here, after it was last changed.
const volumeLease = 24 * time.Hour

// survey looks at everything and judges it. With an error, the answer is what it
// could look at.
func survey(conn *libvirt.Connect, options SweepOptions) ([]Made, error) {
	made, err := surveyDomains(conn, options)
	if err != nil {
		return nil, err
	}
	volumes, errVolumes := surveyVolumes(conn, made)
	pools, errPools := surveyPools(conn)
	return append(append(made, volumes...), pools...), errors.Join(errVolumes, errPools)
}

func surveyDomains(conn *libvirt.Connect, options SweepOptions) ([]Made, error) {
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("listing domains: %w", said(err))
	}
	var found []Made
	for i := range domains {
		if m := surveyDomain(&domains[i], options); m != nil {
			found = append(found, *m)
		}
		_ = domains[i].Free()
	}
	slices.SortFunc(found, func(a, b Made) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// surveyDomain is nil for a domain that is not overcast's, or is gone.
func surveyDomain(domain *libvirt.Domain, options SweepOptions) *Made {
	definition, err := readDefinition(domain, 0)
	if err != nil || definition.Metadata == nil {
		return nil
	}
	state, _, err := domain.GetState()
	if err != nil {
		return nil
	}
	made := Made{Kind: "domain", Name: definition.Name, State: stateName(state), clone: definition.Name}
	if java := parseJavaMetadata(definition.Metadata.XML); java != nil {
		made.Parent, made.Owner, made.Fate = java.Parent, "Overcast for Java", fateUnknown.String()
		made.Created, _ = time.Parse(time.RFC3339, java.Created)
		made.Left = "it is not this program's"
		return &made
	}
	m := parseMetadata(definition.Name, definition.Metadata.XML)
	if m == nil {
		return nil
	}
	by := owner(m.Owner)
	is := by.fate(self())
	made.Label, made.Parent, made.Created, made.Kept = m.Label, m.Parent, m.Created, m.Kept != nil
	made.Owner, made.Fate = by.String(), is.String()
	switch {
	case is == fateAlive:
		made.Left = "its owner lives"
	case is == fateUnknown && !m.leaseOver(time.Now()):
		made.Left = "its owner may live: it was heard of at " + m.Lease.Renewed.Format(time.RFC3339)
	case made.Kept && !options.Kept:
		made.Left = "it is kept for a person to look at"
	}
	return &made
}

// surveyVolumes finds volumes by their names. One of a clone whose domain is
// there shares that domain's fate.
func surveyVolumes(conn *libvirt.Connect, domains []Made) ([]Made, error) {
	pools, err := filePools(conn)
	if err != nil {
		return nil, err
	}
	var found []Made
	var errs []error // a pool that cannot be looked at does not hide the others
	for _, p := range pools {
		there, err := volumesIn(conn, p.name)
		errs = append(errs, err)
		found = append(found, there...)
	}
	if len(found) == 0 {
		return nil, errors.Join(errs...)
	}
	texts, err := definitionsBut(conn, domains)
	if err != nil {
		return nil, err
	}
	for n := range found {
		judgeVolume(&found[n], domains, texts)
	}
	return found, errors.Join(errs...)
}

func judgeVolume(v *Made, domains []Made, texts map[string]string) {
	if n := slices.IndexFunc(domains, func(d Made) bool { return d.Name == v.clone }); n >= 0 {
		v.Kept, v.Left, v.Fate, v.Owner = domains[n].Kept, domains[n].Left, domains[n].Fate, domains[n].Owner
	}
	for name, text := range texts {
		if strings.Contains(text, v.path) {
			v.Left = fmt.Sprintf("domain %q uses it", name)
		}
	}
}

// definitionsBut are the definitions of all domains that are not overcast's.
func definitionsBut(conn *libvirt.Connect, ours []Made) (map[string]string, error) {
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("listing domains: %w", said(err))
	}
	texts := map[string]string{}
	for i := range domains {
		name, err := domains[i].GetName()
		if err == nil && !slices.ContainsFunc(ours, func(m Made) bool { return m.Name == name }) {
			live, _ := domains[i].GetXMLDesc(0) // one that fails is gone
			inactive, _ := domains[i].GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
			texts[name] = live + inactive
		}
		_ = domains[i].Free()
	}
	return texts, nil
}

func volumesIn(conn *libvirt.Connect, poolName string) ([]Made, error) {
	pool, err := conn.LookupStoragePoolByName(poolName)
	if isCode(err, libvirt.ERR_NO_STORAGE_POOL) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up pool %s: %w", poolName, said(err))
	}
	defer pool.Free()
	volumes, err := pool.ListAllStorageVolumes(0)
	if err != nil {
		return nil, fmt.Errorf("listing the volumes of pool %s: %w", poolName, said(err))
	}
	var found []Made
	for i := range volumes {
		if m := surveyVolume(&volumes[i], poolName); m != nil {
			found = append(found, *m)
		}
		_ = volumes[i].Free()
	}
	return found, nil
}

// surveyVolume is nil for a volume whose name is none of overcast's.
func surveyVolume(volume *libvirt.StorageVol, poolName string) *Made {
	name, err := volume.GetName()
	if err != nil {
		return nil
	}
	made, ok := parseName(name)
	if !ok {
		return nil
	}
	path, err := volume.GetPath()
	if err != nil {
		return nil
	}
	is := made.owner.fate(self())
	m := &Made{Kind: "volume", Name: name, Pool: poolName, Label: made.label, Owner: fmt.Sprintf("process %d", made.owner.PID), Fate: is.String(), path: path, clone: made.clone}
	switch changed, err := lastChange(volume); {
	case is == fateAlive:
		m.Left = "its owner lives"
	case is == fateUnknown && (err != nil || time.Since(changed) < volumeLease):
		m.Left = fmt.Sprintf("its owner may live, and it was changed within %v", volumeLease)
	}
	return m
}

// lastChange is when a volume's file was last written to or changed otherwise.
func lastChange(volume *libvirt.StorageVol) (time.Time, error) {
	text, err := volume.GetXMLDesc(0)
	if err != nil {
		return time.Time{}, err
	}
	var definition libvirtxml.StorageVolume
	if err := definition.Unmarshal(text); err != nil {
		return time.Time{}, err
	}
	if definition.Target == nil || definition.Target.Timestamps == nil {
		return time.Time{}, fmt.Errorf("volume %s has no timestamps", definition.Name)
	}
	var last time.Time
	for _, stamp := range []string{definition.Target.Timestamps.Mtime, definition.Target.Timestamps.Ctime} {
		seconds, err := strconv.ParseFloat(stamp, 64)
		if err != nil {
			return time.Time{}, err
		}
		if at := time.Unix(int64(seconds), 0); at.After(last) {
			last = at
		}
	}
	return last, nil
}

// surveyPools finds pools that stand in for a folder. A clone's set-up takes
// them away within a moment; they outlive only its process.
func surveyPools(conn *libvirt.Connect) ([]Made, error) {
	pools, err := conn.ListAllStoragePools(libvirt.CONNECT_LIST_STORAGE_POOLS_TRANSIENT)
	if isCode(err, libvirt.ERR_NO_SUPPORT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing pools: %w", said(err))
	}
	var found []Made
	for i := range pools {
		name, err := pools[i].GetName()
		_ = pools[i].Free()
		made, ok := parseName(name)
		if err != nil || !ok {
			continue
		}
		is := made.owner.fate(self())
		m := Made{Kind: "pool", Name: name, Label: made.label, Owner: fmt.Sprintf("process %d", made.owner.PID), Fate: is.String(), clone: made.clone}
		if is != fateGone {
			m.Left = "its owner may live"
		}
		found = append(found, m)
	}
	return found, nil
}
