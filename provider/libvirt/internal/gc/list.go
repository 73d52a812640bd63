package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// KindFolder is the kind of a copied folder. Package fsmapping lists and removes them.
const KindFolder = "folder"

// Resource is something that overcast created on a hypervisor: the domain of a clone,
// a volume of one, a temporary pool over a folder, or a copied folder.
type Resource struct {
	Kind       string    `json:"kind"` // domain, volume, pool or folder
	Name       string    `json:"name"`
	Pool       string    `json:"pool,omitempty"`       // of a volume
	Label      string    `json:"label,omitempty"`      // of the host
	Parent     string    `json:"parent,omitempty"`     // base domain of a domain
	State      string    `json:"state,omitempty"`      // of a domain, as virsh shows it
	Address    string    `json:"address,omitempty"`    // of a domain, as far as its owner has published it
	Created    time.Time `json:"created,omitzero"`     // zero if it is not known
	Owner      string    `json:"owner"`                // process that created it
	OwnerState string    `json:"ownerState"`           // alive, gone, or unknown from this machine
	Kept       bool      `json:"kept,omitempty"`       // left for inspection
	SkipReason string    `json:"skipReason,omitempty"` // why garbage collection does not remove it; "" if it does
}

// String names the resource and its owner.
func (r Resource) String() string {
	where := ""
	if r.Pool != "" {
		where = " in pool " + r.Pool
	}
	return fmt.Sprintf("%s %s%s (%s, %s)", r.Kind, r.Name, where, r.Owner, r.OwnerState)
}

// listed is a resource with what decides whether it is removed.
type listed struct {
	Resource
	clone      string    // that it belongs to
	path       string    // of a volume
	changed    time.Time // when a volume was last changed; zero if it is not known
	allocation uint64    // of a volume, in bytes
	hasDomain  bool      // the domain of a volume exists

	unseen *owner.Metadata // of a domain whose owner cannot be seen
}

// List lists what overcast created on a hypervisor, domains first, and whether Collect
// would remove it. Domains of Overcast for Java are listed and never removed. With an
// error, the result is what could be listed.
func List(ctx context.Context, conn *libvirt.Connect, options Options) ([]Resource, error) {
	found, err := list(ctx, conn, options)
	resources := make([]Resource, len(found))
	for n := range found {
		resources[n] = found[n].Resource
	}
	return resources, err
}

// list lists everything. With an error, the result is what could be listed.
func list(ctx context.Context, conn *libvirt.Connect, options Options) ([]listed, error) {
	made, err := listDomains(conn, options)
	if err != nil {
		return nil, err
	}
	errLeases := skipLeased(ctx, made)
	volumes, errVolumes := listVolumes(conn, made, options)
	pools, errPools := listPools(conn)
	return append(append(made, volumes...), pools...), errors.Join(errLeases, errVolumes, errPools)
}

// skipLeased skips the domains whose owners cannot be seen and whose leases have not
// expired.
func skipLeased(ctx context.Context, domains []listed) error {
	var unseen []*owner.Metadata
	for _, d := range domains {
		if d.unseen != nil {
			unseen = append(unseen, d.unseen)
		}
	}
	expired, err := owner.ExpiredLeases(ctx, unseen)
	for n := range domains {
		if d := &domains[n]; d.unseen != nil && !expired[d.Name] {
			d.SkipReason = fmt.Sprintf("its owner may be alive: lease of %d s renewed at %s by the owner's clock",
				d.unseen.Lease.Seconds, d.unseen.Lease.Renewed.Format(time.RFC3339))
		}
	}
	return err
}

func listDomains(conn *libvirt.Connect, options Options) ([]listed, error) {
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	var found []listed
	for i := range domains {
		if m := listDomain(&domains[i], options); m != nil {
			found = append(found, *m)
		}
		_ = domains[i].Free()
	}
	slices.SortFunc(found, func(a, b listed) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// listDomain returns nil for a domain that is not overcast's or no longer exists.
func listDomain(domain *libvirt.Domain, options Options) *listed {
	definition, err := virt.ReadDefinition(domain, 0)
	if err != nil || definition.Metadata == nil {
		return nil
	}
	state, _, err := domain.GetState()
	if err != nil {
		return nil
	}
	made := listed{Resource: Resource{Kind: "domain", Name: definition.Name, State: virt.StateName(state)}, clone: definition.Name}
	if java := owner.ParseJavaMetadata(definition.Metadata.XML); java != nil {
		made.Parent, made.Owner, made.OwnerState = java.Parent, "Overcast for Java", owner.Unknown.String()
		made.Created, _ = time.Parse(time.RFC3339, java.Created)
		made.SkipReason = "created by Overcast for Java"
		return &made
	}
	m := owner.ParseMetadata(definition.Name, definition.Metadata.XML)
	if m == nil {
		return nil
	}
	by := owner.Process(m.Owner)
	is := by.State(owner.Self())
	made.Label, made.Parent, made.Created, made.Kept = m.Label, m.Parent, m.Created, m.Kept != nil
	made.Owner, made.OwnerState = by.String(), is.String()
	if m.Address != nil {
		made.Address = m.Address.IP
	}
	switch {
	case is == owner.Alive:
		made.SkipReason = "its owner is alive"
	case made.Kept && !options.Kept:
		made.SkipReason = "kept for inspection"
	}
	if is == owner.Unknown {
		made.unseen = m
	}
	return &made
}

// listVolumes finds volumes by their names. The volume of an existing domain is removed
// if the domain is.
func listVolumes(conn *libvirt.Connect, domains []listed, options Options) ([]listed, error) {
	pools, err := storage.FilePools(conn)
	if err != nil {
		return nil, err
	}
	var found []listed
	var errs []error // a pool that fails does not hide the others
	for _, p := range pools {
		there, err := listVolumesIn(conn, p.Name)
		errs = append(errs, err)
		found = append(found, there...)
	}
	for n := range found {
		found[n].followDomain(domains)
	}
	local, now := virt.IsLocal(conn), time.Now()
	for n := range found {
		if v := &found[n]; v.SkipReason == "" && !v.hasDomain {
			v.SkipReason = skipWithoutDomain(v.path, v.changed, v.allocation, local, now)
		}
	}
	if slices.ContainsFunc(found, func(v listed) bool { return v.SkipReason == "" }) {
		users, err := layers.ReadUsers(conn)
		if err != nil {
			return nil, err
		}
		skipUsed(found, domains, users, options)
	}
	return found, errors.Join(errs...)
}

// followDomain gives a volume the owner and the skip reason of its domain, if that exists.
func (v *listed) followDomain(domains []listed) {
	n := slices.IndexFunc(domains, func(d listed) bool { return d.Name == v.clone })
	if n < 0 {
		return
	}
	v.hasDomain = true
	v.Kept, v.SkipReason, v.OwnerState, v.Owner = domains[n].Kept, domains[n].SkipReason, domains[n].OwnerState, domains[n].Owner
}

// skipUsed skips the volumes that a domain or a volume uses which is not removed. A volume
// that is skipped may be the user of another one.
func skipUsed(volumes, domains []listed, users storage.Users, options Options) {
	for skipped := true; skipped; {
		skipped = false
		for n := range volumes {
			v := &volumes[n]
			if v.SkipReason == "" && v.skipIfUsed(users, domains, volumes, options) {
				skipped = true
			}
		}
	}
}

// skipIfUsed skips a volume if something uses it that is not removed, and reports that. A
// clone and its own volumes are removed together.
func (v *listed) skipIfUsed(users storage.Users, domains, volumes []listed, options Options) bool {
	for _, by := range users.Of(storage.VolumeRef{Pool: v.Pool, Name: v.Name}, v.path) {
		ours := domains
		if by.Pool != "" {
			ours = volumes
		}
		n := slices.IndexFunc(ours, func(m listed) bool { return m.Name == by.Name && m.Pool == by.Pool })
		if n < 0 || ours[n].clone != v.clone && !options.Removes(ours[n].Resource) {
			v.SkipReason = "used by " + by.String()
			return true
		}
	}
	return false
}

func listVolumesIn(conn *libvirt.Connect, poolName string) ([]listed, error) {
	var found []listed
	err := storage.ForEachVolume(conn, poolName, func(volume *libvirt.StorageVol) {
		if m := listVolume(volume, poolName); m != nil {
			found = append(found, *m)
		}
	})
	return found, err
}

// listVolume returns nil for a volume that is not overcast's by its name.
func listVolume(volume *libvirt.StorageVol, poolName string) *listed {
	name, err := volume.GetName()
	if err != nil {
		return nil
	}
	made, ok := owner.ParseName(name)
	if !ok {
		return nil
	}
	path, err := volume.GetPath()
	if err != nil {
		return nil
	}
	is := made.Process.State(owner.Self())
	m := &listed{Resource: Resource{Kind: "volume", Name: name, Pool: poolName, Label: made.Label, Owner: fmt.Sprintf("process %d", made.Process.PID), OwnerState: is.String()}, path: path, clone: made.Clone}
	m.changed, _ = lastChange(volume) // the zero time counts as just now
	if info, err := volume.GetInfo(); err == nil {
		m.allocation = info.Allocation
	}
	switch {
	case is == owner.Alive:
		m.SkipReason = "its owner is alive"
	case is == owner.Unknown && isRecent(m.changed, time.Now()):
		m.SkipReason = fmt.Sprintf("its owner may be alive: changed within the last %v", volumeAgeLimit)
	}
	return m
}

// lastChange returns when the file of a volume was last written or changed otherwise.
func lastChange(volume *libvirt.StorageVol) (time.Time, error) {
	stamps, err := storage.Timestamps(volume)
	if err != nil {
		return time.Time{}, err
	}
	var last time.Time
	for _, stamp := range []string{stamps.Mtime, stamps.Ctime} {
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

// listPools finds temporary pools over folders. Set-up removes them at once, so they
// are left only if its process was killed.
func listPools(conn *libvirt.Connect) ([]listed, error) {
	pools, err := conn.ListAllStoragePools(libvirt.CONNECT_LIST_STORAGE_POOLS_TRANSIENT)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing pools: %w", virt.StripCodes(err))
	}
	var found []listed
	for i := range pools {
		name, err := pools[i].GetName()
		_ = pools[i].Free()
		if made, ok := owner.ParseName(name); err == nil && ok {
			found = append(found, judgePool(name, made, time.Now()))
		}
	}
	return found, nil
}

func judgePool(name string, made owner.Name, now time.Time) listed {
	is := made.Process.State(owner.Self())
	m := listed{Resource: Resource{Kind: "pool", Name: name, Label: made.Label, Created: made.Created, Owner: fmt.Sprintf("process %d", made.Process.PID), OwnerState: is.String()}, clone: made.Clone}
	switch {
	case is == owner.Alive:
		m.SkipReason = "its owner is alive"
	case !storage.IsStalePool(made, now):
		m.SkipReason = "its owner may be alive"
	}
	return m
}
