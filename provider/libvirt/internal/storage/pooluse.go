package storage

import (
	"fmt"
	"slices"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// minOverlay is the space that an empty overlay needs, in bytes: qcow2 writes 193 KiB.
const minOverlay = 256 << 10

// PoolUse is how the overlays of a clone use a pool. Sizes are in bytes.
type PoolUse struct {
	Pool      string
	Available uint64 // free space of the pool
	Overlays  int
	Capacity  uint64 // size to which the overlays can grow
}

// String names the pool and its free space.
func (u PoolUse) String() string { return fmt.Sprintf("%s (%s free)", u.Pool, formatSize(u.Available)) }

// Warning returns a warning if the overlays can fill the pool, or "".
func (u PoolUse) Warning() string {
	if u.Available >= u.Capacity {
		return ""
	}
	return fmt.Sprintf("pool %s has %s free, and the overlays of one clone can grow to %s: a clone that fills the pool is paused: free space there, or set overlayPool to a larger pool",
		u.Pool, formatSize(u.Available), formatSize(u.Capacity))
}

// PoolFullError reports that a pool has no room for the overlays of a clone.
type PoolFullError struct{ Use PoolUse }

// Error names the pool, its free space and what the clone needs.
func (e *PoolFullError) Error() string {
	return fmt.Sprintf("pool %s is full: it has %s free, and the overlays of a clone need at least %s: free space there, remove clones that were kept (overcast gc), or set overlayPool to another pool",
		e.Use.Pool, formatSize(e.Use.Available), formatSize(uint64(e.Use.Overlays)*minOverlay))
}

// readPoolUse returns how overlays use their pools, one entry for each pool. It fails
// with a *[PoolFullError].
func readPoolUse(conn *libvirt.Connect, overlays []domainxml.Overlay) ([]PoolUse, error) {
	uses := countOverlays(overlays)
	for n := range uses {
		if err := readAvailable(conn, &uses[n]); err != nil {
			return nil, err
		}
	}
	return uses, nil
}

// countOverlays counts overlays by pool.
func countOverlays(overlays []domainxml.Overlay) []PoolUse {
	var uses []PoolUse
	for n := range overlays {
		o := &overlays[n]
		at := slices.IndexFunc(uses, func(u PoolUse) bool { return u.Pool == o.Pool })
		if at < 0 {
			at = len(uses)
			uses = append(uses, PoolUse{Pool: o.Pool})
		}
		uses[at].Overlays++
		uses[at].Capacity += o.Capacity
	}
	return uses
}

// readAvailable reads the free space of a pool. libvirt measures it when it refreshes the
// pool, so a pool without room is refreshed before it counts as full.
func readAvailable(conn *libvirt.Connect, use *PoolUse) (err error) {
	for _, refresh := range []bool{false, true} {
		if use.Available, err = freeSpace(conn, use.Pool, refresh); err != nil || use.hasRoom() {
			return err
		}
	}
	return &PoolFullError{*use}
}

// freeSpace returns the free space of a pool in bytes, as libvirt measured it when it last
// refreshed the pool, or as it is now.
func freeSpace(conn *libvirt.Connect, name string, refresh bool) (uint64, error) {
	pool, err := conn.LookupStoragePoolByName(name)
	if err != nil {
		return 0, fmt.Errorf("looking up pool %s: %w", name, virt.StripCodes(err))
	}
	defer pool.Free()
	if refresh {
		_ = pool.Refresh(0) // without it, the measured value stays
	}
	info, err := pool.GetInfo()
	if err != nil {
		return 0, fmt.Errorf("reading the free space of pool %s: %w", name, virt.StripCodes(err))
	}
	return info.Available, nil
}

// CheckStateRoom fails if a pool has no room for the state of a running domain, which is
// at most as large as its memory. QEMU does not free what it has written when a save
// fails, so a save that fills the pool would have the domain paused at its next write.
func CheckStateRoom(conn *libvirt.Connect, pool string, domain *libvirt.Domain) error {
	need, err := usedMemory(domain)
	if err != nil {
		return fmt.Errorf("reading the memory use: %w", virt.StripCodes(err))
	}
	free, err := freeSpace(conn, pool, true) // overlays have grown since libvirt measured it
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("pool %s has %s free, and the state needs up to %s: free space there, or set overlayPool to a larger pool", pool, formatSize(free), formatSize(need))
	}
	return nil
}

// usedMemory returns how much memory of a domain is in use at most, in bytes: that of
// its QEMU, but not more than the guest has.
func usedMemory(domain *libvirt.Domain) (uint64, error) {
	info, err := domain.GetInfo()
	if err != nil {
		return 0, err
	}
	used := info.Memory << 10
	stats, err := domain.MemoryStats(uint32(libvirt.DOMAIN_MEMORY_STAT_NR), 0)
	if err != nil {
		return 0, err
	}
	for _, s := range stats {
		if s.Tag == int32(libvirt.DOMAIN_MEMORY_STAT_RSS) {
			used = min(used, s.Val<<10)
		}
	}
	return used, nil
}

// hasRoom reports whether the overlays can be created.
func (u PoolUse) hasRoom() bool { return u.Available >= uint64(u.Overlays)*minOverlay }

// formatSize formats a size in bytes.
func formatSize(bytes uint64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}
