package libvirt

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/memory"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
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
		err := byLabel[label].prepare(ctx)
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
