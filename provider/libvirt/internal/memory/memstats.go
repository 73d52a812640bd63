package memory

import (
	"fmt"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// qemuOverhead is an estimate of QEMU's own memory beside the guest's.
const qemuOverhead = 64 << 20

// memoryOf returns how much of the hypervisor's free memory a clone needs. A clone on
// huge pages needs none: they are not part of the free memory.
func memoryOf(definition *libvirtxml.Domain) uint64 {
	if definition.Memory == nil || (definition.MemoryBacking != nil && definition.MemoryBacking.MemoryHugePages != nil) {
		return 0
	}
	return uint64(definition.Memory.Value)<<10 + qemuOverhead // libvirt converts it to KiB
}

// nodeMemory returns the memory of a hypervisor and how much of it is available, in
// bytes. Caches count as available.
func nodeMemory(conn *libvirt.Connect) (total, free uint64, err error) {
	stats, err := conn.GetMemoryStats(libvirt.NODE_MEMORY_STATS_ALL_CELLS, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory of the hypervisor: %w", virt.StripCodes(err))
	}
	return stats.Total << 10, (stats.Free + stats.Buffers + stats.Cached) << 10, nil
}

// clones are the running clones of a hypervisor, of all processes.
type clones []clone

type clone struct {
	domain libvirt.Domain
	made   owner.Name
	max    uint64 // that it may use
	rss    uint64 // in use; 0 if it is not known
}

func runningClones(conn *libvirt.Connect) (clones, error) {
	domains, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return nil, fmt.Errorf("listing running domains: %w", virt.StripCodes(err))
	}
	var users clones
	for n := range domains {
		user := clone{domain: domains[n]}
		name, err := domains[n].GetName()
		ours := false
		if err == nil {
			user.made, ours = owner.ParseName(name)
		}
		if ours {
			if info, err := domains[n].GetInfo(); err == nil { // otherwise it has ended
				user.max = info.MaxMem<<10 + qemuOverhead
				users = append(users, user)
				continue
			}
		}
		_ = domains[n].Free()
	}
	return users, nil
}

func (u clones) free() {
	for n := range u {
		_ = u[n].domain.Free()
	}
}

// readRSS reads how much memory each clone uses. It is 0 for a clone that is being
// started. Memory that a clone shares with virtiofsd is 0 too: the hypervisor counts it
// as cache, and so as available.
func (u clones) readRSS() {
	for n := range u {
		if definition, err := virt.ReadDefinition(&u[n].domain, 0); err != nil || sharesMemory(definition) {
			continue
		}
		stats, err := u[n].domain.MemoryStats(uint32(libvirt.DOMAIN_MEMORY_STAT_NR), 0)
		if err != nil {
			continue
		}
		for _, stat := range stats {
			if libvirt.DomainMemoryStatTags(stat.Tag) == libvirt.DOMAIN_MEMORY_STAT_RSS {
				u[n].rss = stat.Val << 10
			}
		}
	}
}

func sharesMemory(definition *libvirtxml.Domain) bool {
	backing := definition.MemoryBacking
	return backing != nil && backing.MemoryAccess != nil && backing.MemoryAccess.Mode == "shared"
}

// unreserved returns how much more memory all of them may use.
func (u clones) unreserved() (sum uint64) {
	for _, user := range u {
		sum += user.max - min(user.rss, user.max)
	}
	return sum
}

// names names the clones and their processes.
func (u clones) names() (list []string) {
	for _, user := range u {
		list = append(list, fmt.Sprintf("%s of process %d", user.made.Label, user.made.Process.PID))
	}
	return list
}
