package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/overcast-go/overcast/internal/mark"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/mount"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/memory"
	"github.com/overcast-go/overcast/provider/libvirt/internal/snapshot"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/provider/libvirt/internal/warm"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

// warmUse is how an instance uses a warm slot. The zero value is not at all.
type warmUse struct {
	recipe  string // see provider.WarmStarter; "" if the host is not warm
	refresh bool
	image   bool          // the memory is a save image of libvirt, as the hypervisor is another machine
	all     layers.Key    // of all slots; "" before it is planned
	key     layers.Key    // of the slot; "" if the host has none
	slot    int           // number
	parent  string        // name of the base of the machine that is saved
	found   *layers.Layer // that the clone is restored from; nil if it boots
}

// restoresImage reports whether libvirt starts the clone from a save image.
func (w *warmUse) restoresImage() bool { return w.found != nil && w.image }

// saves reports whether the clone boots and its memory is saved then.
func (w *warmUse) saves() bool { return w.key != "" && w.found == nil }

var _ provider.WarmStarter = (*instance)(nil)

// UseWarm makes the instance use a slot.
func (i *instance) UseWarm(recipe string, refresh bool) {
	i.warm = warmUse{recipe: recipe, refresh: refresh}
}

// WarmSlot returns the slot of the clone.
func (i *instance) WarmSlot() (slot int, restored, ok bool) {
	return i.warm.slot, i.warm.found != nil, i.warm.key != ""
}

// overlay is the value of overlay. The files of a clone that is saved must exist.
func (i *instance) overlay() string {
	if i.warm.saves() {
		return overlayFile
	}
	return i.config.Overlay
}

// cacheMode is the cache mode of the disks. A layer has to survive a crash of the hypervisor.
func (i *instance) cacheMode() string {
	if i.warm.saves() && i.config.Cache == "unsafe" {
		return "writeback"
	}
	return i.config.Cache
}

// useWarm gives the clone a slot, and plans it anew if the slot has memory.
func (p *planning) useWarm(ctx context.Context) error {
	use := &p.warm
	if use.recipe == "" || p.layer.isMissing() {
		return nil // with a missing layer, the clone is planned again once it is built
	}
	use.image = !virt.IsLocal(p.on.Conn)
	if refused := p.warmRefusal(); refused != "" {
		provider.Report(ctx, provider.StepNotWarm, refused)
		return nil
	}
	all, err := p.warmKey()
	if err != nil {
		provider.Report(ctx, provider.StepNotWarm, err.Error())
		return nil
	}
	if err := p.takeWarmSlot(ctx, all); err != nil {
		return err
	}
	use.parent = p.base.Name
	if use.found, err = p.findSlot(ctx); err != nil {
		return err
	}
	if use.key == "" {
		return nil
	}
	base, clone := p.base, p.clone
	err = p.planAgain(ctx)
	switch {
	case use.found != nil && storage.LacksVolume(err):
		p.discardSlot(ctx, use.found, err)
	case use.found != nil && storage.IsPoolStopped(err):
		provider.Report(ctx, provider.StepNotWarm, err.Error())
	default:
		return err
	}
	use.found, use.key = nil, "" // the clone has no slot
	p.base, p.clone = base, clone
	return nil
}

// discardSlot removes a slot that cannot be restored.
func (p *planning) discardSlot(ctx context.Context, slot *layers.Layer, cause error) {
	provider.Report(ctx, provider.StepDiscardedMemory, fmt.Sprintf("the set-up goes on without it: %v", cause))
	discard(ctx, p.on.Conn, slot)
}

// findSlot returns the layer of the slot, or nil if there is none to restore. If its domain
// has been started, the clone has no slot.
func (p *planning) findSlot(ctx context.Context) (*layers.Layer, error) {
	found, err := layers.Find(p.on.Conn, p.warm.key)
	if err != nil || found == nil || found.Warm == nil {
		return nil, err
	}
	if err := found.CheckShutOff(p.config.URL); err != nil {
		provider.Report(ctx, provider.StepNotWarm, err.Error())
		p.warm.key = ""
		return nil, nil
	}
	if p.warm.refresh && found.Created.Before(processStart) {
		if err := found.Discard(ctx, p.on.Conn); err != nil {
			provider.Report(ctx, provider.StepNotWarm, err.Error())
			p.warm.key = ""
		}
		return nil, nil
	}
	if err := found.CheckDisks(p.on.Conn); err != nil {
		p.discardSlot(ctx, found, err)
		return nil, nil
	}
	if found.Touch(p.on.Conn) != nil {
		return nil, nil // it has just been removed
	}
	return found, nil
}

// warmRefusal returns why the clone cannot be restored from memory, or "".
func (p *planning) warmRefusal() string {
	if kind, err := p.on.Conn.GetType(); err != nil || kind != "QEMU" {
		return "the hypervisor is not QEMU"
	}
	for _, fs := range p.clone.Definition.Devices.Filesystems {
		if fs.Driver != nil && fs.Driver.Type == string(mount.VirtioFS) {
			return "it has a virtiofs folder, whose state cannot be saved: use driver = 9p and mountAt"
		}
	}
	return layers.Uncacheable(p.clone)
}

// warmVersion is the version of what is saved. It is part of the key of a slot.
const warmVersion = "1"

// warmKey is the key of all slots of the host: of everything that determines the state of a
// machine after its set-up, and whether QEMU can restore it.
func (p *planning) warmKey() (layers.Key, error) {
	conn := p.on.Conn
	library, err := conn.GetLibVersion()
	if err != nil {
		return "", virt.StripCodes(err)
	}
	version, err := conn.GetVersion()
	if err != nil {
		return "", virt.StripCodes(err)
	}
	host, err := conn.GetHostname()
	if err != nil {
		return "", virt.StripCodes(err)
	}
	cpu, err := readCPU(conn)
	if err != nil {
		return "", err
	}
	content, err := p.layerParts()
	if err != nil {
		return "", err
	}
	parts := []string{"warm", warmVersion, p.warm.recipe, content, fmt.Sprintf("%s %s %d %d", host, machineID(), library, version), cpu}
	for _, f := range p.folders.Mappings {
		parts = append(parts, folderPart(f.Entry))
	}
	if p.config.usesCloudInit() {
		login, err := loginKey()
		if err != nil {
			return "", err
		}
		parts = append(parts, cloudinit.Hostname(p.label), login) // a restored clone reads no seed
	}
	if p.warm.image {
		parts = append(parts, "save image")
	}
	if p.hasExclusiveAddress() {
		parts = append(parts, p.config.Static.IP.String())
	}
	return layers.WarmKey(conn, p.base, p.clone, parts...)
}

// folderPart is the part of the key for a folder.
func folderPart(e mount.Entry) string {
	return fmt.Sprintf("%s %s %v %s", e.Target, e.Driver, e.IsReadOnly(), e.AccessMode)
}

// readCPU describes the CPU of the hypervisor: another one may lack what a saved system uses.
func readCPU(conn *libvirt.Connect) (string, error) {
	found, err := virt.ReadCapabilities(conn)
	if err != nil || found.Host.CPU == nil {
		return "", err
	}
	return found.Host.CPU.Marshal()
}

// takeWarmSlot gives the clone the lowest free slot, and its identity. A host with a static
// address has one slot, with the identity of the address.
func (p *planning) takeWarmSlot(ctx context.Context, all layers.Key) error {
	use := &p.warm
	if use.all == all { // it is held since an earlier plan
		use.key = slotKey(all, use.slot)
		return nil
	}
	if p.hasExclusiveAddress() {
		use.all, use.slot, use.key = all, 0, slotKey(all, 0)
		return nil
	}
	for slot := 0; ; slot++ {
		key := slotKey(all, slot)
		taken, err := p.takeIdentity(ctx, p.on.Conn, p.clone, domainxml.Seed("warm "+string(key)))
		if err != nil {
			return err
		}
		if taken {
			use.all, use.slot, use.key = all, slot, key
			return nil
		}
	}
}

func slotKey(all layers.Key, slot int) layers.Key {
	return layers.NewKey("slot", string(all), fmt.Sprint(slot))
}

// planAgain plans a clone whose memory is saved or restored. The devices of a saved machine
// and their addresses must not change. The folders of fsMapping are planned again, as their
// sources may have moved.
func (p *planning) planAgain(ctx context.Context) error {
	base := p.clone.Base
	if p.warm.found != nil {
		p.base = p.warm.found.Definition
	}
	if err := p.planParts(ctx); err != nil {
		return err
	}
	if err := p.take(ctx, cloneSteps); err != nil {
		return err
	}
	p.clone.Base = base // by which clones have identities
	if p.warm.found == nil {
		p.clone.AddGenerationID()
	}
	return nil
}

// savedAddress finds the address of a restored machine, which its system has in memory.
type savedAddress struct{ strategy.Static }

func (savedAddress) String() string { return "saved with its memory" }

// newSavedAddress returns the strategy for the slot.
func (w *warmUse) newSavedAddress() (strategy.Strategy, error) {
	ip, err := netip.ParseAddr(w.found.Warm.Address)
	if err != nil {
		return nil, fmt.Errorf("reading the address of layer %s: %w", w.key.Short(), err)
	}
	return savedAddress{strategy.Static{IP: ip}}, nil
}

// reportRestore reports that the clone is restored.
func (w *warmUse) reportRestore(ctx context.Context) {
	provider.Report(ctx, stepRestoring, fmt.Sprintf("%s (%s old)", provider.SlotName(w.slot), formatAge(time.Since(w.found.Created))))
}

const stepRestoring = "restoring memory of"

// restore loads the saved memory into the domain, which is paused.
func (i *instance) restore(ctx context.Context, conn *libvirt.Connect, domain *libvirt.Domain) error {
	if err := warm.Load(ctx, conn, domain, i.warm.found.Warm.Memory); err != nil {
		return notRestored(fmt.Errorf("restoring its memory: %w", virt.StripCodes(err)))
	}
	return nil
}

// createWaiting starts the domain, paused, which waits for its memory.
func (i *instance) createWaiting(_ context.Context, conn *libvirt.Connect, c *domainxml.Clone) (*libvirt.Domain, error) {
	if err := defineRestored(conn, c); err != nil {
		return nil, err
	}
	text, err := c.AwaitingMemory()
	if err != nil {
		return nil, err
	}
	return conn.DomainCreateXML(text, i.startFlags())
}

// restoreImage has libvirt start the domain, paused, from the save image.
func (i *instance) restoreImage(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) (*libvirt.Domain, error) {
	if err := defineRestored(conn, c); err != nil {
		return nil, err
	}
	text, err := c.Definition.Marshal()
	if err != nil {
		return nil, err
	}
	if err := warm.RestoreImage(ctx, conn, i.warm.found.Warm.Memory, text); err != nil {
		return nil, fmt.Errorf("restoring its memory: %w", virt.StripCodes(err))
	}
	return conn.LookupDomainByName(c.Name)
}

// defineRestored defines a domain with UEFI variables before it is started, for the reason that
// createDomain has. QEMU writes the variables that are part of the memory to the new file.
func defineRestored(conn *libvirt.Connect, c *domainxml.Clone) error {
	if !c.NeedsDefinition() {
		return nil
	}
	domain, err := define(conn, c)
	if err != nil {
		return err
	}
	return domain.Free()
}

func notRestored(err error) error { return mark.As(err, provider.ErrNotRestored) }

// checkSavedAddress starts to reserve the address of the slot and to check that no other machine
// has it. It does nothing for a clone that boots.
func (i *instance) checkSavedAddress(ctx context.Context, conn *libvirt.Connect) *virt.PendingCall {
	return virt.Async(func() error {
		if i.warm.found == nil {
			return nil
		}
		saved := i.warm.found.Warm
		ip, err := netip.ParseAddr(saved.Address)
		if err != nil || ip.IsLoopback() {
			return err
		}
		check := i.newAddressCheck(conn, i.plan)
		check.Address = ip
		if err := check.CheckFree(ctx); err != nil {
			return err
		}
		reserve(ctx, conn, saved) // waits for what the network does for the domain that starts
		return nil
	})
}

// SaveMemory saves the memory of the clone and makes it and the disks a layer, and then
// restores the clone from the layer.
func (i *instance) SaveMemory(ctx context.Context, took time.Duration) error {
	if err := trace.Do(ctx, "save memory", func() error { return i.save(ctx, took) }); err != nil {
		return err
	}
	err := i.prepare(ctx)
	if err == nil && i.warm.found == nil {
		err = errors.New("its layer has been removed")
	}
	if err == nil {
		err = i.call(ctx, i.createPlanned)
	}
	return notRestored(err)
}

// save saves the memory, stops the domain and publishes the layer.
func (i *instance) save(ctx context.Context, took time.Duration) error {
	access, err := i.Checkpoints(ctx)
	if err != nil {
		return err
	}
	at := access.(*checkpoints)
	saved := i.newSaved(took)
	if err := i.call(ctx, func(_ context.Context, on *virt.Connection) error { return i.createMemoryVolume(on.Conn, saved) }); err != nil {
		return err
	}
	if err := i.holdMemory(ctx); err != nil {
		return err
	}
	err = at.Freeze(ctx)
	if err == nil {
		err = i.saveFrozen(ctx, at, saved)
	}
	if err != nil {
		undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), thawTimeout)
		defer cancel()
		i.releaseMemory()
		i.removeMemoryVolume(undoing, saved.Memory)
		return errors.Join(err, notRestored(at.Thaw(undoing))) // a host that stays paused must boot again
	}
	i.stopWatching()
	return notRestored(i.call(ctx, func(ctx context.Context, on *virt.Connection) error { return i.publishSaved(ctx, on.Conn, saved) }))
}

// saveFrozen saves the definition and the memory of the paused domain.
func (i *instance) saveFrozen(ctx context.Context, at *checkpoints, saved *layers.Saved) error {
	conn := at.on.Conn
	return at.call(ctx, "saving the memory of", func(domain *libvirt.Domain) (err error) {
		saved.Definition, err = virt.ReadDefinition(domain, libvirt.DOMAIN_XML_MIGRATABLE|libvirt.DOMAIN_XML_SECURE)
		if err == nil {
			err = storage.CheckStateRoom(conn, saved.Memory.Pool, domain)
		}
		if err == nil {
			err = i.saveTo(ctx, conn, domain, saved.Memory)
		}
		return err
	})
}

// saveTo saves the memory of the paused domain to a volume.
func (i *instance) saveTo(ctx context.Context, conn *libvirt.Connect, domain *libvirt.Domain, to storage.VolumeRef) error {
	if i.warm.image {
		return snapshot.ExplainSave(warm.SaveImage(ctx, conn, domain, to))
	}
	return snapshot.Explain(warm.Save(ctx, conn, domain, to))
}

// thawTimeout limits resuming a domain whose memory could not be saved.
const thawTimeout = 20 * time.Second

func (i *instance) newSaved(took time.Duration) *layers.Saved {
	c := i.plan
	pool := c.Overlays[0].Pool
	s := &layers.Saved{Clone: c, Label: i.label, Parent: i.warm.parent, SeedTarget: seedTarget, Took: took, Warm: layers.Warm{
		Slot: i.warm.slot, Memory: storage.VolumeRef{Pool: pool, Name: c.Name + "-memory.raw"}, Address: i.address.String(), HostKey: i.seed.hostKey,
	}}
	if i.seed.volume != "" {
		s.Seed = storage.VolumeRef{Pool: i.seed.pool, Name: i.seed.volume}
	}
	if c.MAC != nil {
		s.MAC = c.MAC.String()
	}
	if i.address.Is4() && !i.hasExclusiveAddress() {
		s.Network = c.Leases
	}
	return s
}

// createMemoryVolume creates an empty volume for the memory.
func (i *instance) createMemoryVolume(conn *libvirt.Connect, saved *layers.Saved) error {
	v := saved.Memory
	i.undo.RecordVolume(v)
	return storage.CreateEmpty(conn, v.Pool, v.Name)
}

// holdMemory reserves the memory of the clone for the one that is restored. At the end of the queue,
// that one could wait for clones which wait for other hosts of this process.
func (i *instance) holdMemory(ctx context.Context) (err error) {
	if i.need.Bytes > 0 {
		i.memory, err = memory.Hold(ctx, i.need, i.label)
	}
	return err
}

// removeMemoryVolume removes the volume of a memory that could not be saved, which may fill the
// pool. TearDown tries again.
func (i *instance) removeMemoryVolume(ctx context.Context, v storage.VolumeRef) {
	_ = i.call(ctx, func(_ context.Context, on *virt.Connection) error {
		return storage.DeleteVolume(on.Conn, v.Pool, v.Name)
	})
}

// publishSaved stops the domain and makes its disks and the memory a layer.
func (i *instance) publishSaved(ctx context.Context, conn *libvirt.Connect, saved *layers.Saved) error {
	if err := virt.StopDomain(conn, saved.Clone.Name); err != nil {
		return virt.StripCodes(err)
	}
	published, err := layers.PublishWarm(conn, i.warm.key, *saved)
	if err != nil {
		return fmt.Errorf("publishing %s: %w", provider.SlotName(saved.Slot), err)
	}
	if !published.Has(saved.Memory.Name) {
		return nil // another machine has published it before; TearDown removes what this one saved
	}
	i.keepOverlays(saved.Clone)
	i.undo.ForgetVolume(saved.Memory)
	i.undo.ForgetVolume(saved.Seed)
	reserve(ctx, conn, published.Warm)
	_ = layers.ReleaseSuperseded(conn, published) // they are released when the slots are removed
	return nil
}

// stepNotReserved reports that the DHCP server may give the address of a slot to another
// machine. The next restore notices that.
const stepNotReserved = "could not reserve the address:"

func reserve(ctx context.Context, conn *libvirt.Connect, of *layers.Warm) {
	if err := of.ReserveAddress(conn); err != nil {
		provider.Report(ctx, stepNotReserved, err.Error())
	}
}

// DiscardMemory removes the clone and its slot, which another process may have replaced.
func (i *instance) DiscardMemory(ctx context.Context) error {
	key, found := i.warm.key, i.warm.found
	if err := i.TearDown(ctx); err != nil {
		return err
	}
	i.warm, i.plan, i.addressHeld = warmUse{}, nil, false
	return i.call(ctx, func(ctx context.Context, on *virt.Connection) (err error) {
		if found == nil && key != "" { // the clone has just saved it
			found, err = layers.Find(on.Conn, key)
		}
		if err == nil && found != nil {
			discard(ctx, on.Conn, found)
		}
		return err
	})
}
