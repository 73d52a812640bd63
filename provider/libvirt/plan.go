package libvirt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/gc"
	"github.com/overcast-go/overcast/provider/libvirt/internal/memory"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// planning is the plan of a clone in progress. Set-up and doctor take the same steps;
// set-up fails with the error of a step, and doctor reports each step.
type planning struct {
	*instance
	on      *virt.Connection
	base    *libvirtxml.Domain
	bridges domainxml.Bridges
	clone   *domainxml.Clone
	pools   []storage.PoolUse
}

// planStep is a step of a plan. It creates nothing that lasts.
type planStep struct {
	name   string
	take   func(*planning, context.Context) error
	detail func(*planning) string // what doctor shows if the step succeeds; nil if another check shows it
}

// inputSteps check what a set-up reads on this machine. They take place before a
// hypervisor does any work.
var inputSteps = []planStep{
	{"cloud-init", (*planning).checkSeed, (*planning).describeSeed},
	{"image file", (*planning).checkImageFile, nil},
}

// planSteps are the steps in their order; a step may use the results of those before it.
var planSteps = slices.Concat(baseSteps, cloneSteps)

// baseSteps determine what is cloned.
var baseSteps = []planStep{
	{"base domain", (*planning).readBase, (*planning).describeBase},
	{"devices", (*planning).beginClone, func(*planning) string { return "can all be cloned" }},
	{"disks", (*planning).planDisks, (*planning).describeDisks},
	{"layer", (*planning).useLayer, nil},
}

// cloneSteps plan a clone of it.
var cloneSteps = []planStep{
	{"pool", (*planning).choosePools, (*planning).describePools},
	{"network", (*planning).planNetwork, nil},
	{"firmware", (*planning).planFirmware, (*planning).describeFirmware},
	{"TPM", (*planning).planTPM, (*planning).describeTPM},
	{"folders", (*planning).planFolders, (*planning).describeFolders},
	{"memory", (*planning).readMemoryNeed, (*planning).describeMemory},
}

func (p *planning) readBase(ctx context.Context) (err error) {
	if p.base != nil { // doctor does not import an image
		return nil
	}
	if p.config.Image != nil {
		p.base, err = p.readImageBase(ctx, p.on)
		return err
	}
	p.base, err = virt.ReadBase(p.on.Conn, p.config.URL, p.config.BaseDomain, owner.NamePrefix)
	return err
}

func (p *planning) describeBase() string {
	if p.config.Image != nil {
		return "generated for the image"
	}
	return p.base.Name + " is shut off"
}

func (p *planning) beginClone(context.Context) (err error) {
	p.clone, err = domainxml.NewClone(p.base, p.label)
	if err == nil && p.config.usesCloudInit() && p.warm.found == nil {
		p.clone.AddSeed(seedTarget)
	}
	return err
}

func (p *planning) planDisks(context.Context) error {
	if err := p.clone.PlanDisks(p.cacheMode()); err != nil {
		return err
	}
	if err := storage.LocateDisks(p.on.Conn, p.clone, p.base.Name); err != nil {
		return err
	}
	if first, size := &p.clone.Overlays[0], uint64(p.config.DiskSize); size > first.Capacity {
		first.Size = size
	}
	return nil
}

func (p *planning) describeDisks() string {
	var disks []string
	for n := range p.clone.Overlays {
		o := &p.clone.Overlays[n]
		disks = append(disks, fmt.Sprintf("%s (%s)", o.Target, o.Backing))
	}
	return strings.Join(disks, ", ")
}

func (p *planning) choosePools(context.Context) (err error) {
	p.pools, err = storage.ChoosePools(p.on.Conn, p.clone, p.base.Name, p.config.OverlayPool)
	return err
}

func (p *planning) describePools() string {
	var pools []string
	for _, use := range p.pools {
		pools = append(pools, use.String())
	}
	return strings.Join(pools, ", ")
}

func (p *planning) planNetwork(context.Context) (err error) {
	if p.bridges, err = domainxml.ReadBridges(p.on.Conn); err != nil {
		return err
	}
	if err := p.clone.PlanInterfaces(p.config.Network, p.bridges); err != nil {
		return err
	}
	if !p.clone.IsOnLibvirtNetwork() {
		return nil
	}
	return p.checkActive(p.clone.Network)
}

// checkActive fails if a libvirt network does not exist or is not active.
func (p *planning) checkActive(name string) error {
	at := redact.Text(p.config.URL)
	network, err := p.on.Conn.LookupNetworkByName(name)
	if virt.IsCode(err, libvirt.ERR_NO_NETWORK) {
		return fmt.Errorf("network %q does not exist at %s: define it (virsh net-define), or change networkDeviceId and the base domain", name, at)
	}
	if err != nil {
		return fmt.Errorf("looking up network %q: %w", name, virt.StripCodes(err))
	}
	defer network.Free()
	active, err := network.IsActive()
	if err != nil {
		return fmt.Errorf("reading the state of network %q: %w", name, virt.StripCodes(err))
	}
	if !active {
		return fmt.Errorf("network %q is not active: start it (virsh -c '%s' net-start %[1]s)", name, at)
	}
	return nil
}

func (p *planning) planFirmware(context.Context) error { return p.clone.PlanFirmware(p.on.Conn) }

func (p *planning) describeFirmware() string {
	if path := p.clone.NVRAMSource(); path != "" {
		return "UEFI, with a copy of the variables in " + path
	}
	return "without variables to copy"
}

func (p *planning) planTPM(context.Context) error {
	return p.clone.PlanTPM(domainxml.TPMDir(p.config.URL))
}

func (p *planning) describeTPM() string {
	if p.clone.BaseTPMDir == "" {
		return "none"
	}
	return "emulated, with a copy of the state in " + p.clone.BaseTPMDir
}

func (p *planning) planFolders(ctx context.Context) error {
	return p.folders.Plan(ctx, p.on.Conn, p.clone)
}

func (p *planning) describeFolders() string {
	return fmt.Sprintf("%d of fsMapping", len(p.folders.Mappings))
}

func (p *planning) readMemoryNeed(context.Context) (err error) {
	p.need, err = memory.ReadNeed(p.on.Conn, p.clone.Definition)
	if err != nil {
		return err
	}
	return p.need.CheckFits(p.config.URL, p.config.BaseDomain)
}

func (p *planning) describeMemory() string { return p.need.String() }

// makePlan plans the clone: it takes all steps, and then claims an identity and selects the
// strategy that finds the address.
func (i *instance) makePlan(ctx context.Context, on *virt.Connection) error {
	_ = trace.Do(ctx, "collect garbage", func() error {
		i.pool.Once(i.config.URL, func() { gc.CollectAtStart(ctx, on.Conn, i.config.URL) })
		return nil
	})
	i.warm.found, i.warm.key = nil, ""
	i.plan = nil // one that was made before may be of another base
	p := &planning{instance: i, on: on}
	if err := p.take(ctx, slices.Concat(inputSteps, planSteps)); err != nil {
		return err
	}
	if err := trace.Do(ctx, "plan: warm slot", func() error { return p.useWarm(ctx) }); err != nil {
		return err
	}
	if i.usesLayers() {
		i.pool.Once("layers of "+i.config.URL, func() { _ = i.evictLayers(ctx, on) })
	}
	if err := trace.Do(ctx, "plan: identity", func() error { return i.identify(ctx, on, p.clone) }); err != nil {
		return err
	}
	i.plan = p.clone
	return nil
}

// take takes steps of a plan.
func (p *planning) take(ctx context.Context, steps []planStep) error {
	for _, step := range steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := trace.Do(ctx, "plan: "+step.name, func() error { return step.take(p, ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// identify gives the clone the UUID and the MAC addresses of an earlier clone, and
// selects the strategy that finds its address. A clone with a static address gets the
// identity of the address later. If only another machine's list of leases has the
// address, the identity is a new one: the list may still have an earlier clone's lease.
func (i *instance) identify(ctx context.Context, on *virt.Connection, c *domainxml.Clone) error {
	if !i.takeHeldIdentity(c) && !i.hasExclusiveAddress() && (!i.config.asksSSH() || i.hasLeases(on.Conn, c)) {
		if err := i.takeSlot(ctx, on.Conn, c); err != nil {
			return err
		}
	}
	var err error
	if i.warm.found != nil {
		i.find, err = i.warm.newSavedAddress()
	} else {
		i.find, err = i.strategy(ctx, on.Conn, c)
	}
	return err
}
