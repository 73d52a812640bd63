package memory

import (
	"fmt"
	"os"
	"strconv"
	"strings"

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
	return uint64(definition.Memory.Value)*memoryUnit(definition.Memory.Unit) + qemuOverhead
}

// memoryUnit is the size in bytes of a unit of libvirt's memory element
// (https://libvirt.org/formatdomain.html#memory-allocation). The default is KiB, and
// libvirt converts to it, but a generated definition has not been at libvirt yet.
func memoryUnit(name string) uint64 {
	switch name {
	case "b", "bytes":
		return 1
	case "KB":
		return 1e3
	case "MB":
		return 1e6
	case "GB":
		return 1e9
	case "TB":
		return 1e12
	case "M", "MiB":
		return 1 << 20
	case "G", "GiB":
		return 1 << 30
	case "T", "TiB":
		return 1 << 40
	}
	return 1 << 10 // k, KiB
}

// nodeMemory is the memory of a hypervisor, in bytes.
type nodeMemory struct {
	total, free uint64
	// free includes memory in tmpfs and of guests with shared memory, which cannot be
	// freed.
	countsShared bool
}

// meminfoPath is the file that proc_meminfo(5) describes.
const meminfoPath = "/proc/meminfo"

// readNodeMemory reads the memory of a hypervisor. libvirt reports shared memory, such
// as tmpfs, as a part of the page cache. The kernel of this machine tells them apart.
func readNodeMemory(conn *libvirt.Connect) (nodeMemory, error) {
	stats, err := conn.GetMemoryStats(libvirt.NODE_MEMORY_STATS_ALL_CELLS, 0)
	if err != nil {
		return nodeMemory{}, fmt.Errorf("reading the memory of the hypervisor: %w", virt.StripCodes(err))
	}
	if virt.IsLocal(conn) {
		if text, err := os.ReadFile(meminfoPath); err == nil {
			local, ok := parseMeminfo(string(text))
			if ok && local.total == stats.Total<<10 { // a local socket may lead to another machine
				return local, nil
			}
		}
	}
	return nodeMemory{total: stats.Total << 10, free: (stats.Free + stats.Buffers + stats.Cached) << 10, countsShared: true}, nil
}

// parseMeminfo parses /proc/meminfo. MemAvailable does not include shared memory;
// kernels before 3.14 do not have it. ok is false if a line is missing.
func parseMeminfo(text string) (m nodeMemory, ok bool) {
	fields := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		number, unit, _ := strings.Cut(strings.TrimSpace(value), " ")
		kib, err := strconv.ParseUint(number, 10, 54) // in bytes, it fits into 64 bits
		if err == nil && unit == "kB" {
			fields[key] = kib << 10
		}
	}
	m.total = fields["MemTotal"]
	available, hasAvailable := fields["MemAvailable"]
	if !hasAvailable {
		free, hasFree := fields["MemFree"]
		cached, hasCached := fields["Cached"]
		shared, hasShared := fields["Shmem"]
		hasAvailable = hasFree && hasCached && hasShared
		available = free + fields["Buffers"] + cached - min(shared, cached)
	}
	m.free = min(available, m.total)
	return m, hasAvailable && m.total > 0
}

// clones are the running clones of a hypervisor, of all processes.
type clones []clone

type clone struct {
	domain libvirt.Domain
	made   owner.Name
	max    uint64 // that it may use
	rss    uint64 // in use; 0 if it is not known
}

// runningDomains returns the running clones. With shared, it also returns how much
// memory other guests share with processes such as virtiofsd, in bytes.
func runningDomains(conn *libvirt.Connect, shared bool) (users clones, sharedByOthers uint64, err error) {
	domains, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return nil, 0, fmt.Errorf("listing running domains: %w", virt.StripCodes(err))
	}
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
		} else if shared && sharesMemory(&domains[n]) {
			sharedByOthers += readRSS(&domains[n])
		}
		_ = domains[n].Free()
	}
	return users, sharedByOthers, nil
}

func (u clones) free() {
	for n := range u {
		_ = u[n].domain.Free()
	}
}

// readRSS reads how much memory each clone uses. Memory that the hypervisor's free
// memory includes is not in use: with countsShared, that of a clone with shared memory.
func (u clones) readRSS(countsShared bool) {
	for n := range u {
		if !countsShared || !sharesMemory(&u[n].domain) {
			u[n].rss = readRSS(&u[n].domain)
		}
	}
}

// readRSS reads how much memory a domain uses, in bytes. It is 0 for one that is being
// started or has ended.
func readRSS(domain *libvirt.Domain) uint64 {
	stats, err := domain.MemoryStats(uint32(libvirt.DOMAIN_MEMORY_STAT_NR), 0)
	if err != nil {
		return 0
	}
	for _, stat := range stats {
		if libvirt.DomainMemoryStatTags(stat.Tag) == libvirt.DOMAIN_MEMORY_STAT_RSS {
			return stat.Val << 10
		}
	}
	return 0
}

// sharesMemory reports whether a domain shares its memory with other processes. One
// that has ended, or whose definition cannot be read, counts as sharing it.
func sharesMemory(domain *libvirt.Domain) bool {
	definition, err := virt.ReadDefinition(domain, 0)
	return err != nil || hasSharedMemory(definition)
}

func hasSharedMemory(definition *libvirtxml.Domain) bool {
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
