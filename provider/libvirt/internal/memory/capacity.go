package memory

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// A hypervisor's memory is shared out in order of arrival. Clones about to be
// started stand in a line, from the decision until they run: what those ahead
// of them need is theirs, whether they wait or are being started. What runs, the
// hypervisor tells, whoever has started it. So nothing is counted on twice
// within a machine; two machines that use one hypervisor see each other's
// clones once they run.
//
// Clones that are set up together have one place in line, and get the memory
// for all of them or for none: a process that has some of its hosts gives them
// back only once it has had all.

// qemuNeeds is what QEMU takes for itself beside its guest's memory, roughly.
const qemuNeeds = 64 << 20

// MemoryError says that a clone, or those that are set up together, do not fit
// into their hypervisor's memory. It is a [provider.ErrNotEnoughMemory]. Sizes are
// in bytes.
type MemoryError struct {
	URL, Domain string        // the hypervisor, and the base
	Hosts       []string      // labels of those that are set up together
	Needs       uint64        // of all of them, with what QEMU needs
	Free        uint64        // that nobody has, and nobody has been promised
	Total       uint64        // that the hypervisor has
	Users       []string      // clones that have the memory, or come first
	Waited      time.Duration // 0 where waiting cannot help
	Cause       error         // why the wait ended; nil if there was none
}

// Error names the sizes, who has the memory, and what to do.
func (e *MemoryError) Error() string {
	text := fmt.Sprintf("a clone of %q needs %s of memory at %s", e.Domain, size(e.Needs), virt.RedactURL(e.URL))
	less := "it can never fit: give the base domain less <memory>"
	if len(e.Hosts) > 1 {
		text = fmt.Sprintf("%s, which are set up together, need %s of memory at %s", strings.Join(e.Hosts, ", "), size(e.Needs), virt.RedactURL(e.URL))
		less = "they can never fit: give their base domains less <memory>, declare fewer hosts"
	}
	if e.Cause == nil {
		return text + fmt.Sprintf(", which has %s in all: %s, or use another hypervisor", size(e.Total), less)
	}
	return text + fmt.Sprintf(", where %s of %s are free (%s); waited %v: %v: wait longer (memoryWait), run fewer processes, have them give their hosts back (AfterSuite(hosts.TearDown)), or remove clones that were kept (overcast gc)",
		size(e.Free), size(e.Total), e.who(), e.Waited.Round(10*time.Millisecond), e.Cause)
}

// who has the memory.
func (e *MemoryError) who() string {
	if len(e.Users) == 0 {
		return "no clone has any"
	}
	return strings.Join(e.Users, ", ") + " have some, or come first"
}

// Is makes the error a [provider.ErrNotEnoughMemory].
func (e *MemoryError) Is(target error) bool { return target == provider.ErrNotEnoughMemory }

// Unwrap gives the cause.
func (e *MemoryError) Unwrap() error { return e.Cause }

// size is an amount of memory for people.
func size(bytes uint64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}

// memoryOf is what a clone takes of the hypervisor's free memory. One on huge
// pages takes nothing: those were set apart when the hypervisor booted.
func memoryOf(definition *libvirtxml.Domain) uint64 {
	if definition.Memory == nil || (definition.MemoryBacking != nil && definition.MemoryBacking.MemoryHugePages != nil) {
		return 0
	}
	return uint64(definition.Memory.Value)<<10 + qemuNeeds // libvirt tells KiB, in whatever unit it was told
}

// memoryWait is the wait for memory.
type memoryWait struct {
	start time.Time
	step  owner.Wait
	Short MemoryError // what it is short of, as of the last look
}

func NewMemoryWait(short MemoryError) *memoryWait {
	return &memoryWait{start: time.Now(), step: owner.Wait{Step: "waiting for memory"}, Short: short}
}

// over says whether the clone fits. Those ahead have been looked at before the
// hypervisor is: who has left the line since is found there.
func (w *memoryWait) over(ctx context.Context, conn *libvirt.Connect, ahead []filelock.Holder) (bool, error) {
	_, free, err := nodeMemory(conn)
	if err != nil {
		return false, err
	}
	clones, err := runningClones(conn)
	if err != nil {
		return false, err
	}
	defer clones.free()
	promised := uint64(0)
	w.Short.Users = nil
	for _, next := range ahead {
		promised += next.Needs
		w.Short.Users = append(w.Short.Users, next.String())
	}
	// What clones have taken of what they may take, the free memory is short of
	// already. That is one more question for each, which is asked only if need
	// be.
	if w.Short.Needs+promised+clones.mayTake() <= free {
		return true, nil
	}
	clones.readTaken()
	promised += clones.mayTake()
	w.Short.Users = append(w.Short.Users, clones.users()...)
	w.Short.Free = free - min(promised, free)
	if w.Short.Needs <= w.Short.Free {
		return true, nil
	}
	w.Tell(ctx)
	return false, nil
}

// tell says who is waited for.
func (w *memoryWait) Tell(ctx context.Context) {
	who := w.Short.who()
	w.step.Tell(ctx, who, fmt.Sprintf("of %s (needs %s, %s of %s are free): %s", virt.RedactURL(w.Short.URL), size(w.Short.Needs), size(w.Short.Free), size(w.Short.Total), who))
}

// nodeMemory is how much memory a hypervisor has, and how much of it is free, or
// will be as soon as somebody needs it, in bytes.
func nodeMemory(conn *libvirt.Connect) (total, free uint64, err error) {
	stats, err := conn.GetMemoryStats(libvirt.NODE_MEMORY_STATS_ALL_CELLS, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("asking the hypervisor for its memory: %w", virt.StripCodes(err))
	}
	return stats.Total << 10, (stats.Free + stats.Buffers + stats.Cached) << 10, nil
}

// memoryUsers are the clones that run on a hypervisor, of all runs.
type memoryUsers []memoryUser

type memoryUser struct {
	domain libvirt.Domain
	made   owner.Name
	most   uint64 // that it may take
	taken  uint64 // of it, as far as is known
}

func runningClones(conn *libvirt.Connect) (memoryUsers, error) {
	domains, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return nil, fmt.Errorf("listing the domains that run: %w", virt.StripCodes(err))
	}
	var users memoryUsers
	for n := range domains {
		user := memoryUser{domain: domains[n]}
		name, err := domains[n].GetName()
		ours := false
		if err == nil {
			user.made, ours = owner.ParseName(name)
		}
		if ours {
			if info, err := domains[n].GetInfo(); err == nil { // else it has ended since
				user.most = info.MaxMem<<10 + qemuNeeds
				users = append(users, user)
				continue
			}
		}
		_ = domains[n].Free()
	}
	return users, nil
}

func (u memoryUsers) free() {
	for n := range u {
		_ = u[n].domain.Free()
	}
}

// readTaken asks how much each clone has taken. One that cannot be asked now, as
// it is being started, has taken nothing yet. Memory that a clone shares with
// virtiofsd, the hypervisor counts as cached, and that as free.
func (u memoryUsers) readTaken() {
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
				u[n].taken = stat.Val << 10
			}
		}
	}
}

func sharesMemory(definition *libvirtxml.Domain) bool {
	backing := definition.MemoryBacking
	return backing != nil && backing.MemoryAccess != nil && backing.MemoryAccess.Mode == "shared"
}

// mayTake is how much more all of them may take.
func (u memoryUsers) mayTake() (sum uint64) {
	for _, user := range u {
		sum += user.most - min(user.taken, user.most)
	}
	return sum
}

// users are the clones, for people.
func (u memoryUsers) users() (list []string) {
	for _, user := range u {
		list = append(list, fmt.Sprintf("%s of process %d", user.made.Label, user.made.Process.PID))
	}
	return list
}
