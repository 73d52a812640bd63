package libvirt

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/memory"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

var _ provider.Reserver = (*cloneProvider)(nil)

// Reserve plans all clones of a batch, acquires their static addresses in the order of the
// addresses, and then reserves memory for all of them, on one hypervisor after the other.
func (p *cloneProvider) Reserve(ctx context.Context, batch []provider.Instance, queued func()) error {
	byLabel := map[string]*instance{}
	for _, one := range batch {
		i := one.(*instance)
		byLabel[i.label] = i
	}
	err := recovered.ForEach(slices.Sorted(maps.Keys(byLabel)), func(label string) error {
		err := byLabel[label].prepare(trace.Of(ctx, label))
		if err != nil && len(batch) > 1 {
			err = fmt.Errorf("%s: %w", label, err)
		}
		return err
	})
	if err != nil {
		return err
	}
	instances := slices.Collect(maps.Values(byLabel))
	// A wait is reported once the batch has a place in a queue.
	waiting := provider.WithReporter(ctx, func(step, detail string) {
		queued()
		provider.Report(ctx, step, detail)
	})
	if err := lockAddresses(waiting, instances); err != nil {
		return err
	}
	byQueue := map[string][]*instance{}
	for _, i := range instances {
		if i.need.Bytes > 0 {
			byQueue[i.need.Queue] = append(byQueue[i.need.Queue], i)
		}
	}
	for _, queue := range slices.Sorted(maps.Keys(byQueue)) {
		group := byQueue[queue]
		err := group[0].call(waiting, func(ctx context.Context, _ *virt.Connection) error { return reserveFor(ctx, group, queued) })
		if err != nil {
			return err
		}
	}
	return nil
}

// lockAddresses acquires the static addresses of a batch in their order, so that two
// batches cannot deadlock.
func lockAddresses(ctx context.Context, batch []*instance) error {
	exclusive := slices.DeleteFunc(slices.Clone(batch), func(i *instance) bool { return !i.hasExclusiveAddress() })
	slices.SortFunc(exclusive, func(a, b *instance) int { return a.config.Static.IP.Compare(b.config.Static.IP) })
	for _, i := range exclusive {
		if err := i.call(ctx, i.lockAddress); err != nil {
			return err
		}
	}
	return nil
}

// reserveFor reserves memory for clones on one hypervisor.
func reserveFor(ctx context.Context, batch []*instance, queued func()) error {
	first := batch[0]
	needs := map[string]memory.Need{}
	for _, i := range batch {
		needs[i.label] = i.need
	}
	reservation, err := memory.Reserve(ctx, first.on.Conn, memory.Request{
		URL: first.config.URL, BaseDomain: first.config.BaseDomain, Needs: needs, Wait: first.config.MemoryWait,
	}, queued)
	if err != nil {
		return err
	}
	for _, i := range batch {
		i.memory = reservation
	}
	return nil
}

// releaseMemory ends the reservation of this clone.
func (i *instance) releaseMemory() { i.memory.Release(i.label) }

// The clones of a base that run at the same time have slots: numbers from 0 on, from which
// their UUIDs and MAC addresses are derived. A clone gets the lowest free slot, so it has
// the MAC addresses of an earlier clone, and the DHCP server gives it that clone's lease
// instead of another address of its range.
//
// On one machine a file lock protects a slot, which the kernel releases when its holder
// ends. Across machines the hypervisor does: it has one domain with a UUID.

// slotSeed returns the seed of the clone in a slot. It includes this machine and the
// hypervisor, as a base with the same UUID may be defined on two hypervisors of one
// network.
func slotSeed(hypervisor, base string, slot int) domainxml.Seed {
	return domainxml.Seed(fmt.Sprintf("slot %d of base %s at %s by %s", slot, base, hypervisor, machineID()))
}

// takeSlot gives the clone the identity of the lowest slot that no process of this machine
// holds, and whose UUID no domain and whose MAC addresses no running domain of the
// hypervisor has.
func (i *instance) takeSlot(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) error {
	hypervisor, err := conn.GetHostname()
	if err != nil {
		return fmt.Errorf("reading the host name of the hypervisor: %w", virt.StripCodes(err))
	}
	for slot := 0; ; slot++ {
		taken, err := i.takeIdentity(ctx, conn, c, slotSeed(hypervisor, c.Base, slot))
		if taken || err != nil {
			return err
		}
	}
}

// takeIdentity gives the clone the identity of a seed, unless a process of this machine holds
// it, or a domain has it.
func (i *instance) takeIdentity(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone, s domainxml.Seed) (bool, error) {
	dir, err := filelock.Dir()
	if err != nil {
		return false, err
	}
	held, err := filelock.TryAcquire(ctx, dir, "slot-"+s.UUID(), owner.NewHolder(i.label))
	if err != nil || held == nil {
		return false, err
	}
	free, err := isIdentityFree(conn, c, s)
	if !free {
		_ = held.Release() // nothing depends on it
		return false, err
	}
	i.undo.RecordLocal("the lock of the identity "+s.UUID(), held.Release)
	c.SetIdentity(s)
	i.slot = s
	return true, nil
}

// isIdentityFree reports whether no domain has the UUID, and no running domain one of the MAC
// addresses, that the clone gets from a seed.
func isIdentityFree(conn *libvirt.Connect, c *domainxml.Clone, s domainxml.Seed) (bool, error) {
	free, err := isUUIDFree(conn, s.UUID())
	if err != nil || !free {
		return false, err
	}
	live, err := address.ListLiveDomains(conn)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(c.MACsOf(s), func(mac net.HardwareAddr) bool { return address.HasMAC(live, mac.String()) }), nil
}

// isUUIDFree reports whether no domain has a UUID.
func isUUIDFree(conn *libvirt.Connect, uuid string) (bool, error) {
	domain, err := conn.LookupDomainByUUIDString(uuid)
	if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking up the domain with UUID %s: %w", uuid, virt.StripCodes(err))
	}
	return false, domain.Free()
}

// machineID returns the ID of this machine. It is "" if the machine has none, as in many
// containers: their clones share slots.
func machineID() string {
	id, _ := os.ReadFile("/etc/machine-id") // see machine-id(5)
	return strings.TrimSpace(string(id))
}
