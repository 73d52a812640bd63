package libvirt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/internal/probe"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// One clone at a time has a static address. On one machine a file lock ensures that, which
// the kernel releases when its holder ends. Across machines the hypervisor does: the
// clone's UUID is derived from the address, and a hypervisor has one domain with a UUID.
// The domain ends with its process.

// AddressInUseError reports that a clone or another machine has the static address. It is
// a [provider.ErrStaticAddressInUse].
type AddressInUseError struct {
	Address netip.Addr
	Holder  string        // clone that has it, or how a machine answers there
	Since   time.Time     // when the holder acquired it; zero if that is not known
	Waited  time.Duration // how long set-up has waited
	Cause   error         // why the wait ended; nil if there was no wait
}

// Error names the address, its holder, the wait, and what to do.
func (e *AddressInUseError) Error() string {
	text := fmt.Sprintf("static address %s is in use: %s", e.Address, e.Holder)
	if !e.Since.IsZero() {
		text += ", since " + e.Since.Local().Format(time.DateTime)
	}
	if e.Cause == nil {
		return text + ": free the address there, or configure another one in the base domain's system and in static.ip"
	}
	return text + fmt.Sprintf("; waited %v: %v: wait longer (static.wait), or end its holder (a clone that was kept: overcast gc)", e.Waited.Round(10*time.Millisecond), e.Cause)
}

// Is makes the error a [provider.ErrStaticAddressInUse].
func (e *AddressInUseError) Is(target error) bool { return target == provider.ErrStaticAddressInUse }

// Unwrap returns the cause.
func (e *AddressInUseError) Unwrap() error { return e.Cause }

// hasExclusiveAddress reports whether only one host at a time can have the address of this
// one. Loopback addresses are exempt: any number of hosts can have ports forwarded there.
func (i *instance) hasExclusiveAddress() bool {
	return i.config.Lookup == lookupStatic && !i.config.Static.IP.IsLoopback()
}

// IsExclusive reports whether no other clone may have the same address.
func (i *instance) IsExclusive() bool { return i.hasExclusiveAddress() }

// lockAddress acquires the static address of the clone, unless it has it already. The clone
// gets the identity that is derived from the address: other machines cache its MAC address
// for a minute.
func (i *instance) lockAddress(ctx context.Context, on *virt.Connection) error {
	if i.addressHeld {
		return nil
	}
	lock := newAddressLock(i.label, i.config.Static.IP)
	i.plan.SetStaticIdentity(lock.address)
	limit := i.config.Static.Wait
	within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("static.wait of %v expired", limit))
	defer cancel()
	if err := lock.acquire(within, i.undo); err != nil {
		return err
	}
	if err := lock.await(within, on.Conn); err != nil {
		return err
	}
	i.addressHeld = true
	return nil
}

// errWarmSlotTaken means that a process of another machine has taken the slot of a warm host
// since the clone was planned. It must be planned anew.
var errWarmSlotTaken = errors.New("another machine uses the slot")

// createExclusive creates the clone once no other domain has its static address or UUID. It
// fails with errWarmSlotTaken if another one has the UUID of a warm slot.
func (i *instance) createExclusive(ctx context.Context, on *virt.Connection, c *domainxml.Clone) error {
	if i.hasExclusiveAddress() {
		return i.createAtAddress(ctx, on, c)
	}
	for {
		err := i.create(ctx, on, c)
		if !domainxml.IsUUIDConflict(err, c.UUID) {
			return err
		}
		// A process of another machine took the slot after the check.
		i.stopWatching()
		if undone := i.undo.Run(ctx, on.Conn); undone != nil {
			return errors.Join(err, undone)
		}
		i.slot = ""
		if i.warm.key != "" {
			i.warm.all = "" // it holds no slot any more
			return errWarmSlotTaken
		}
		if err := i.identify(ctx, on, c); err != nil {
			return err
		}
	}
}

// createAtAddress creates a clone with a static address, after it has acquired the address.
func (i *instance) createAtAddress(ctx context.Context, on *virt.Connection, c *domainxml.Clone) error {
	for {
		if err := i.lockAddress(ctx, on); err != nil {
			return err
		}
		if err := i.checkAddressFree(ctx, on.Conn); err != nil {
			return err
		}
		err := i.create(ctx, on, c)
		if err == nil {
			return nil
		}
		lock := newAddressLock(i.label, i.config.Static.IP)
		other, lookErr := lock.holder(on.Conn)
		if lookErr != nil || (other == nil && !domainxml.IsUUIDConflict(err, lock.uuid)) || (other != nil && other.name == c.Name) {
			return err
		}
		// Another machine was faster: remove what was created, and wait.
		i.stopWatching()
		if undone := i.undo.Run(ctx, on.Conn); undone != nil {
			return errors.Join(err, undone)
		}
		i.addressHeld = false
	}
}

// addressLock is the exclusive use of a static address.
type addressLock struct {
	address netip.Addr
	label   string
	uuid    string
	start   time.Time
	step    owner.WaitReporter
}

func newAddressLock(label string, address netip.Addr) *addressLock {
	return &addressLock{
		address: address, label: label, uuid: domainxml.StaticSeed(address).UUID(), start: time.Now(),
		step: owner.WaitReporter{Step: "waiting for static address"},
	}
}

// acquire waits until no other process of this machine has the address.
func (a *addressLock) acquire(ctx context.Context, u *storage.Undo) error {
	dir, err := filelock.Dir()
	if err != nil {
		return err
	}
	held, err := filelock.Acquire(ctx, dir, "static-"+a.address.String(), owner.NewHolder(a.label), func(h filelock.Holder) { a.report(ctx, h.String(), h.Since) })
	var busy *filelock.BusyError
	if errors.As(err, &busy) {
		return &AddressInUseError{Address: a.address, Holder: busy.Holder.String(), Since: busy.Holder.Since, Waited: time.Since(a.start), Cause: busy.Cause}
	}
	if err != nil {
		return err
	}
	u.RecordLocal("the lock of address "+a.address.String(), held.Release)
	return nil
}

// Intervals at which the hypervisor is asked whether an address is free.
const (
	addressPollMin = 50 * time.Millisecond
	addressPollMax = time.Second
)

// await waits until no domain of the hypervisor has the address.
func (a *addressLock) await(ctx context.Context, conn *libvirt.Connect) error {
	pause := addressPollMin
	for {
		other, err := a.holder(conn)
		if err != nil || other == nil {
			return err
		}
		a.report(ctx, other.String(), other.since)
		select {
		case <-ctx.Done():
			return &AddressInUseError{Address: a.address, Holder: other.String(), Since: other.since, Waited: time.Since(a.start), Cause: context.Cause(ctx)}
		case <-time.After(pause):
			pause = min(2*pause, addressPollMax)
		}
	}
}

// report reports the holder of the address as a step of the set-up.
func (a *addressLock) report(ctx context.Context, holder string, since time.Time) {
	when := ""
	if !since.IsZero() {
		when = " since " + since.Local().Format(time.DateTime)
	}
	a.step.Report(ctx, holder, fmt.Sprintf("%s, in use%s by %s", a.address, when, holder))
}

// addressHolder is the domain that has an address.
type addressHolder struct {
	name  string
	owner string // host and process, from its metadata
	since time.Time
}

func (h *addressHolder) String() string { return "domain " + h.name + h.owner }

// holder returns the domain that has the address, or nil.
func (a *addressLock) holder(conn *libvirt.Connect) (*addressHolder, error) {
	domain, err := conn.LookupDomainByUUIDString(a.uuid)
	if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up the domain with address %s: %w", a.address, virt.StripCodes(err))
	}
	defer domain.Free()
	name, err := domain.GetName()
	if err != nil {
		return nil, fmt.Errorf("looking up the domain with address %s: %w", a.address, virt.StripCodes(err))
	}
	found := &addressHolder{name: name}
	definition, err := virt.ReadDefinition(domain, 0)
	if err != nil || definition.Metadata == nil {
		return found, nil // it has ended, or is not overcast's
	}
	if m := owner.ParseMetadata(name, definition.Metadata.XML); m != nil {
		found.owner = fmt.Sprintf(" (%s of %v)", m.Label, owner.Process(m.Owner))
		found.since = m.Created
	}
	return found, nil
}

// checkAddressFree fails if a machine answers at the address although no clone has it.
func (i *instance) checkAddressFree(ctx context.Context, conn *libvirt.Connect) error {
	address := i.config.Static.IP
	how := ""
	if i.config.Reach != provider.ReachHypervisor { // otherwise this machine is on another network
		how = cmp.Or(probe.LocalInterface(address), probe.ARP(ctx, address))
		if how == "" {
			how = probe.TCP(ctx, new(net.Dialer), address)
		}
	}
	if how == "" && i.config.Reach != provider.ReachDirect {
		var err error
		if how, err = i.answerAtHypervisor(ctx, address); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("checking whether address %s is free: %w", address, context.Cause(ctx))
	}
	if how == "" {
		return nil
	}
	if domain := domainOfMAC(conn, how); domain != "" {
		how += ", which is domain " + domain
	}
	return &AddressInUseError{Address: address, Holder: how + ", although the clone is not started yet"}
}

// answerAtHypervisor returns how a machine answers at an address, as seen from the
// hypervisor's machine, or "". A failed login there is an error only if hosts are always
// reached through it.
func (i *instance) answerAtHypervisor(ctx context.Context, address netip.Addr) (string, error) {
	target, err := i.gatewayTarget()
	if target == nil {
		return "", err
	}
	client, err := sshclient.Dial(ctx, *target, nil)
	if err != nil {
		if i.config.Reach == provider.ReachHypervisor {
			return "", fmt.Errorf("checking whether address %s is free: %w", address, err)
		}
		return "", nil
	}
	defer client.Close()
	how := probe.TCP(ctx, client, address)
	if how != "" {
		how += " from the hypervisor's machine"
	}
	return how, nil
}

// domainOfMAC returns the name of the running domain whose MAC address is in a text, or "".
func domainOfMAC(conn *libvirt.Connect, text string) string {
	domains, _ := address.ListLiveDomains(conn) // without them, the error has less detail
	for _, d := range domains {
		for _, mac := range d.MACs {
			if strings.Contains(strings.ToLower(text), mac) {
				return d.Name
			}
		}
	}
	return ""
}
