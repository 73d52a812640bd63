package libvirt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/memory"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// layerUse is how an instance uses the layer of its provisioning. The zero value is not
// at all.
type layerUse struct {
	recipe  string // see provider.LayerCacher; "" if the host is not cached
	refresh bool
	key     layers.Key         // "" before it is planned, and for a builder
	found   *layers.Layer      // that the clone is made from; nil if it is missing
	stale   *layers.Layer      // that the new one replaces; nil without refresh
	parent  *libvirtxml.Domain // base that the layer is made from
	refused string             // why the host cannot be cached; "" if it can
}

// processStart is when this process started, for refresh.
var processStart = time.Now().Truncate(time.Second)

var _ provider.LayerCacher = (*instance)(nil)

// UseLayer makes the instance use a layer.
func (i *instance) UseLayer(recipe string, refresh bool) {
	i.layer = layerUse{recipe: recipe, refresh: refresh}
}

// isMissing reports whether the layer can be built.
func (u *layerUse) isMissing() bool { return u.key != "" && u.found == nil }

// IsProvisioned reports whether the clone is made from a layer.
func (i *instance) IsProvisioned() bool { return i.layer.found != nil }

// useLayer replaces the base by the layer, if it exists.
func (p *planning) useLayer(ctx context.Context) error {
	use := &p.layer
	use.found, use.stale, use.refused, use.key = nil, nil, "", ""
	if use.recipe == "" {
		return nil
	}
	use.parent = p.base
	if use.refused = layers.Uncacheable(p.clone); use.refused != "" {
		return nil
	}
	parts, err := p.layerParts()
	if err != nil {
		return err
	}
	key, err := layers.ProvisionedKey(p.on.Conn, p.base, p.clone, use.recipe, parts)
	if err != nil {
		use.refused = err.Error()
		return nil
	}
	use.key = key
	found, err := layers.Find(p.on.Conn, key)
	if err != nil || found == nil {
		return err
	}
	if err := found.CheckShutOff(p.config.URL); err != nil {
		use.refused, use.key = err.Error(), ""
		return nil
	}
	if use.refresh && found.Created.Before(processStart) {
		use.stale = found
		return nil
	}
	// Nothing refers to it before the clone is created: it must not be evicted until then.
	if err := found.Touch(p.on.Conn); err != nil {
		return nil // it has just been removed, and is built again
	}
	use.found, p.base = found, found.Definition
	err = p.planParts(ctx)
	if storage.LacksVolume(err) {
		return p.discardIncomplete(ctx, err)
	}
	if storage.IsPoolStopped(err) {
		use.refused = err.Error()
		return p.planWithoutLayer(ctx)
	}
	if err == nil {
		p.clone.Base = use.parent.UUID // by which clones have identities
	}
	return err
}

// planParts plans the clone of another base.
func (p *planning) planParts(ctx context.Context) error {
	if err := p.beginClone(ctx); err != nil {
		return err
	}
	return p.planDisks(ctx)
}

// discardIncomplete removes the layer, which lacks a volume. The set-up goes on without it.
func (p *planning) discardIncomplete(ctx context.Context, cause error) error {
	provider.Report(ctx, provider.StepDiscardedLayer, fmt.Sprintf("the set-up goes on without it: %v", cause))
	discard(ctx, p.on.Conn, p.layer.found)
	return p.planWithoutLayer(ctx)
}

// planWithoutLayer plans a clone of the base, which does not become a layer.
func (p *planning) planWithoutLayer(ctx context.Context) error {
	p.layer.found, p.layer.key, p.base = nil, "", p.layer.parent
	return p.planParts(ctx)
}

// layerParts is what else determines the content of a layer. The login key is not part of
// it: each clone has a seed with the key of the user that it is made for.
func (i *instance) layerParts() (string, error) {
	c := &i.config
	text := fmt.Sprintf("disk %d, network %q", c.DiskSize, c.Network)
	if !c.usesCloudInit() {
		return text, nil
	}
	of, err := i.readCloudInit()
	if err != nil {
		return "", err
	}
	return text + fmt.Sprintf(", user %q %q, user data %q, network config %q", c.CloudInit.User, c.CloudInit.AuthorizedKeys, of.userData, of.networkConfig), nil
}

// reportLayer reports which layer is used, and that it is used now.
func (i *instance) reportLayer(ctx context.Context, on *virt.Connection) error {
	l := i.layer.found
	if l == nil {
		return nil
	}
	provider.Report(ctx, stepUsingLayer, fmt.Sprintf("%s (%s old)", l.Key.Short(), formatAge(time.Since(l.Created))))
	if err := l.Touch(on.Conn); err != nil {
		return fmt.Errorf("using layer %s: %w", l.Key.Short(), err)
	}
	return nil
}

// usesLayers reports whether the host is made from an image or from a layer.
func (i *instance) usesLayers() bool {
	return i.config.Image != nil || i.layer.recipe != "" || i.warm.recipe != ""
}

// evictLayers removes and reports the layers that exceed the limits of the cache. The
// next set-up tries again to remove those that could not be removed.
func (i *instance) evictLayers(ctx context.Context, on *virt.Connection) error {
	limits := layers.Limits{MaxAge: i.config.CacheMaxAge, MaxSize: uint64(i.config.CacheMaxSize)}
	removed, err := layers.Evict(ctx, on.Conn, limits)
	for _, l := range removed {
		provider.Report(ctx, stepEvicted, fmt.Sprintf("%s (%s), unused for %s", l.Key.Short(), l.Parent, formatAge(time.Since(l.Used))))
	}
	if err != nil {
		provider.Report(ctx, stepNotEvicted, err.Error())
	}
	return nil
}

// Steps that report what happened to other layers.
const (
	stepEvicted    = "evicted layer:"
	stepNotEvicted = "could not evict layers:"

	stepNotDiscarded = "could not discard a layer:"
)

const stepUsingLayer = "using cached layer"

// formatAge formats an age in its largest unit.
func formatAge(age time.Duration) string {
	switch {
	case age >= 48*time.Hour:
		return fmt.Sprintf("%d d", age/(24*time.Hour))
	case age >= time.Hour:
		return fmt.Sprintf("%d h", age/time.Hour)
	case age >= time.Minute:
		return fmt.Sprintf("%d min", age/time.Minute)
	}
	return fmt.Sprintf("%d s", max(age, 0)/time.Second)
}

// ProvisioningTime is how long the layer was provisioned.
func (i *instance) ProvisioningTime() time.Duration {
	if i.warm.found != nil {
		return i.warm.found.ProvisioningTime()
	}
	if i.layer.found == nil {
		return 0
	}
	return i.layer.found.ProvisioningTime()
}

// LayerBuilder returns the builder of the missing layer, or nil.
func (i *instance) LayerBuilder(ctx context.Context) (provider.LayerBuilder, error) {
	if i.layer.recipe == "" {
		return nil, nil
	}
	if i.plan == nil {
		if err := i.prepare(ctx); err != nil {
			return nil, err
		}
	}
	if i.layer.refused != "" {
		provider.Report(ctx, provider.StepNotCached, i.layer.refused)
	}
	if i.layer.key == "" || i.layer.found != nil {
		return nil, nil
	}
	var lock *filelock.Ticket
	err := i.call(ctx, func(ctx context.Context, on *virt.Connection) (err error) {
		lock, err = layers.Lock(ctx, on.Conn, i.layer.key, i.label)
		return err
	})
	if err != nil {
		return nil, err
	}
	// The layer may have been published while this process waited.
	if err := i.prepare(ctx); err != nil || i.layer.found != nil {
		_ = lock.Release() // nothing depends on it
		return nil, err
	}
	return i.newBuilder(lock), nil
}

// newBuilder returns a builder that has the identity and the address of the instance. The
// memory of the instance stays reserved meanwhile, so that the set-up cannot deadlock.
func (i *instance) newBuilder(lock *filelock.Ticket) *layerBuilder {
	b := &layerBuilder{of: i, instance: newInstance("layer-"+i.layer.key.Short(), i.config, i.folders.Section, i.pool)}
	b.slot, b.addressHeld, b.cloudInit = i.slot, i.addressHeld, i.cloudInit
	b.config.Overlay = overlayFile
	if b.config.Cache == "unsafe" {
		b.config.Cache = "writeback" // a layer has to survive a crash of the hypervisor
	}
	b.undo.RecordLocal("the lock of the layer", lock.Release)
	return b
}

// layerBuilder is the clone that becomes a layer.
type layerBuilder struct {
	*instance
	of *instance // whose layer it builds
}

// SetUp clones and boots. The memory is reserved by the instance.
func (b *layerBuilder) SetUp(ctx context.Context) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	b.need = memory.Need{}
	return b.instance.SetUp(ctx)
}

// CleanCommand removes the identity of the system.
func (b *layerBuilder) CleanCommand() string { return layers.CleanCommand }

// layerShutdownTimeout limits the shutdown of a builder's system, which is never killed.
const layerShutdownTimeout = 2 * time.Minute

// Publish shuts the guest down, publishes the layer, and plans the instance anew.
func (b *layerBuilder) Publish(ctx context.Context, provisioning time.Duration, progress func(string)) error {
	w, limit := b.getWatcher(), max(b.config.ShutdownTimeout, layerShutdownTimeout)
	b.shutDown(ctx, limit)
	if err := checkShutDown(w, limit); err != nil {
		return err
	}
	progress("shut down")
	var published *layers.Layer
	err := b.call(ctx, func(ctx context.Context, on *virt.Connection) (err error) {
		if stale := b.of.layer.stale; stale != nil {
			if err := stale.Discard(ctx, on.Conn); err != nil {
				return err
			}
		}
		published, err = layers.PublishProvisioned(on.Conn, b.of.layer.key, b.of.layer.parent, b.plan, b.of.label, provisioning)
		return err
	})
	if err != nil {
		return err
	}
	if !published.Has(b.plan.Overlays[0].Volume) {
		progress("another machine has published it before")
		return b.of.prepare(ctx) // TearDown removes what was built
	}
	progress("published")
	// Neither is needed: the layer is published.
	_ = b.call(ctx, func(_ context.Context, on *virt.Connection) error { return b.seed.unlink(on.Conn) })
	_ = b.call(ctx, b.evictLayers)
	b.stopWatching()
	b.keepOverlays(b.plan)
	return b.of.prepare(ctx)
}

// keepOverlays makes TearDown remove all but the overlays of a clone, which belong to a layer.
func (i *instance) keepOverlays(c *domainxml.Clone) {
	for n := range c.Overlays {
		o := &c.Overlays[n]
		i.undo.ForgetVolume(storage.VolumeRef{Pool: o.Pool, Name: o.Volume})
	}
}

// checkShutDown fails unless the guest has powered itself off. What a guest had in memory
// that was stopped in another way is missing in its disks.
func checkShutDown(w *virt.DomainWatcher, limit time.Duration) error {
	select {
	case <-w.Done:
	default:
		return fmt.Errorf("the guest did not shut down within %v", limit)
	}
	_, outage := w.Outage()
	var stopped *virt.StoppedError
	if errors.As(outage, &stopped) && stopped.How == virt.HowPoweredOff {
		return nil
	}
	return fmt.Errorf("the guest did not shut down: %w", outage)
}

// DiscardLayer removes the clone and the layer that it was made from, which another process
// may have replaced.
func (i *instance) DiscardLayer(ctx context.Context) error {
	found := i.layer.found
	if err := i.TearDown(ctx); err != nil {
		return err
	}
	i.layer, i.plan, i.addressHeld = layerUse{}, nil, false
	return i.call(ctx, func(ctx context.Context, on *virt.Connection) error {
		discard(ctx, on.Conn, found)
		return nil
	})
}

// discard discards a layer. The set-up goes on without it, also if it cannot be removed,
// which is reported.
func discard(ctx context.Context, conn *libvirt.Connect, l *layers.Layer) {
	if err := l.Discard(ctx, conn); err != nil {
		provider.Report(ctx, stepNotDiscarded, err.Error())
	}
}

// MayBlameLayer reports whether the failure of a set-up may be the fault of the layer. It is
// not if the hypervisor has no room or starts no domain, or if a client of libvirt has
// destroyed the clone.
func (i *instance) MayBlameLayer(err error) bool {
	var stopped *virt.StoppedError
	switch {
	case errors.As(err, new(*storage.PoolFullError)), errors.As(err, new(*startTimeoutError)):
		return false
	case errors.As(err, &stopped) && stopped.How == virt.HowDestroyed:
		return false
	}
	return !virt.IsFromLibvirt(err) || !strings.Contains(err.Error(), "No space left on device") && !strings.Contains(err.Error(), "Cannot allocate memory")
}

// takeHeldIdentity gives the clone the identity that was taken before, if there is one.
func (i *instance) takeHeldIdentity(c *domainxml.Clone) bool {
	switch {
	case i.hasExclusiveAddress() && i.addressHeld:
		c.SetStaticIdentity(i.config.Static.IP)
	case i.slot != "":
		c.SetIdentity(i.slot)
	default:
		return false
	}
	return true
}
