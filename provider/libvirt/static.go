package libvirt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/internal/probe"
	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
)

// A static address has one user at a time. On one machine a lock sees to that,
// which the kernel frees when its holder ends. Across machines the hypervisor
// does: the clone's UUID is worked out from the address, and libvirt has one
// domain of a UUID. A clone is gone when its process is, and so is its claim.

// AddressInUseError says that somebody else has the static address. It is a
// [provider.ErrStaticAddressInUse].
type AddressInUseError struct {
	Address netip.Addr
	Holder  string    // who has it, or what answers there
	Since   time.Time // zero if nobody knows
	Waited  time.Duration
	Cause   error // why the wait ended; nil if there was none
}

// Error names the address, who has it since when, how long it was waited for,
// and what to do.
func (e *AddressInUseError) Error() string {
	text := fmt.Sprintf("static address %s is in use: %s", e.Address, e.Holder)
	if !e.Since.IsZero() {
		text += ", since " + e.Since.Local().Format(time.DateTime)
	}
	if e.Cause == nil {
		return text + ": have that give it up, or give the base domain's system another address, and static.ip the same"
	}
	return text + fmt.Sprintf("; waited %v: %v: wait longer (static.wait), or end what has it (a clone that was kept: overcast gc)", e.Waited.Round(10*time.Millisecond), e.Cause)
}

// Is makes the error a [provider.ErrStaticAddressInUse].
func (e *AddressInUseError) Is(target error) bool { return target == provider.ErrStaticAddressInUse }

// Unwrap gives the cause.
func (e *AddressInUseError) Unwrap() error { return e.Cause }

// exclusive says whether the host has an address that others could have, too.
// Those of the loopback network are not: every machine has them, and what
// answers there are ports that are forwarded, of as many guests as one likes.
func (i *instance) exclusive() bool {
	return i.config.Lookup == lookupStatic && !i.config.Static.IP.IsLoopback()
}

// IsExclusive reports whether no other clone may have the same address.
func (i *instance) IsExclusive() bool { return i.exclusive() }

// lockAddress acquires the static address of the clone, unless it has it. The clone
// gets the UUID and the MAC address that belong to the address.
func (i *instance) lockAddress(ctx context.Context, on *connection) error {
	if i.addressHeld {
		return nil
	}
	lock := newAddressLock(i.label, i.config.Static.IP)
	i.plan.uuid, i.plan.definition.UUID = lock.uuid, lock.uuid
	i.plan.setMAC(macOf(lock.address))
	limit := i.config.Static.Wait
	within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("static.wait of %v expired", limit))
	defer cancel()
	if err := lock.acquire(within, i.undo); err != nil {
		return err
	}
	if err := lock.await(within, on.conn); err != nil {
		return err
	}
	i.addressHeld = true
	return nil
}

// createExclusive creates a clone with a static address, once it has the address.
func (i *instance) createExclusive(ctx context.Context, on *connection, c *clone) error {
	if !i.exclusive() {
		return i.make(ctx, on, c)
	}
	for {
		if err := i.lockAddress(ctx, on); err != nil {
			return err
		}
		if err := i.refuseTaken(ctx, on.conn); err != nil {
			return err
		}
		err := i.make(ctx, on, c)
		if err == nil {
			return nil
		}
		lock := newAddressLock(i.label, i.config.Static.IP)
		other, lookErr := lock.holder(on.conn)
		if lookErr != nil || (other == nil && !lock.isUUIDConflict(err)) || (other != nil && other.name == c.name) {
			return err
		}
		// Another machine was faster, if only for a moment: what was created so
		// far is removed.
		i.stopWatching()
		if undone := i.undo.run(ctx, on.conn); undone != nil {
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
	step    waiting
}

func newAddressLock(label string, address netip.Addr) *addressLock {
	return &addressLock{
		address: address, label: label, uuid: uuidOf(address), start: time.Now(),
		step: waiting{step: "waiting for static address"},
	}
}

// isUUIDConflict reports whether libvirt refused a clone because another one had
// the same UUID. The other one may have ended since.
func (a *addressLock) isUUIDConflict(err error) bool {
	return isCode(err, libvirt.ERR_OPERATION_FAILED) && strings.Contains(err.Error(), a.uuid)
}

// acquire waits until no other process of this machine has the address.
func (a *addressLock) acquire(ctx context.Context, u *undo) error {
	dir, err := filelock.Dir()
	if err != nil {
		return err
	}
	held, err := filelock.Acquire(ctx, dir, "static-"+a.address.String(), thisProcess(a.label), func(h filelock.Holder) { a.tell(ctx, h.String(), h.Since) })
	var busy *filelock.BusyError
	if errors.As(err, &busy) {
		return &AddressInUseError{Address: a.address, Holder: busy.Holder.String(), Since: busy.Holder.Since, Waited: time.Since(a.start), Cause: busy.Cause}
	}
	if err != nil {
		return err
	}
	u.recordHere("the lock of address "+a.address.String(), held.Release)
	return nil
}

// How often the hypervisor is asked whether an address is free again.
const (
	claimFirstPause = 50 * time.Millisecond
	claimLastPause  = time.Second
)

// await waits until no domain of the hypervisor has the address.
func (a *addressLock) await(ctx context.Context, conn *libvirt.Connect) error {
	pause := claimFirstPause
	for {
		other, err := a.holder(conn)
		if err != nil || other == nil {
			return err
		}
		a.tell(ctx, other.String(), other.since)
		select {
		case <-ctx.Done():
			return &AddressInUseError{Address: a.address, Holder: other.String(), Since: other.since, Waited: time.Since(a.start), Cause: context.Cause(ctx)}
		case <-time.After(pause):
			pause = min(2*pause, claimLastPause)
		}
	}
}

// tell says who is waited for.
func (a *addressLock) tell(ctx context.Context, holder string, since time.Time) {
	when := ""
	if !since.IsZero() {
		when = " since " + since.Local().Format(time.DateTime)
	}
	a.step.tell(ctx, holder, fmt.Sprintf("%s, in use%s by %s", a.address, when, holder))
}

// addressHolder is the domain that has an address.
type addressHolder struct {
	name  string
	who   string // made it, as its metadata says
	since time.Time
}

func (h *addressHolder) String() string { return "domain " + h.name + h.who }

// holder finds the domain that has the address; nil if there is none.
func (a *addressLock) holder(conn *libvirt.Connect) (*addressHolder, error) {
	domain, err := conn.LookupDomainByUUIDString(a.uuid)
	if isCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking who has address %s: %w", a.address, said(err))
	}
	defer domain.Free()
	name, err := domain.GetName()
	if err != nil {
		return nil, fmt.Errorf("asking who has address %s: %w", a.address, said(err))
	}
	found := &addressHolder{name: name}
	definition, err := readDefinition(domain, 0)
	if err != nil || definition.Metadata == nil {
		return found, nil // gone since, or somebody's own: there is nothing more to tell
	}
	if m := parseMetadata(name, definition.Metadata.XML); m != nil {
		found.who = fmt.Sprintf(" (%s of %v)", m.Label, owner(m.Owner))
		found.since = m.Created
	}
	return found, nil
}

// refuseTaken refuses an address that answers although no clone has it.
func (i *instance) refuseTaken(ctx context.Context, conn *libvirt.Connect) error {
	address := i.config.Static.IP
	how := ""
	if i.config.Reach != provider.ReachHypervisor { // or else what is here is another network
		how = cmp.Or(probe.Own(address), probe.ARP(ctx, address))
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
		return fmt.Errorf("trying whether somebody has address %s: %w", address, context.Cause(ctx))
	}
	if how == "" {
		return nil
	}
	if domain := domainOfMAC(conn, how); domain != "" {
		how += ", which is domain " + domain
	}
	return &AddressInUseError{Address: address, Holder: how + ", though the clone that is to have the address is not started yet"}
}

// answerAtHypervisor says how an address answers to the hypervisor's machine.
// That nobody can log in there counts only if specs would have to, too.
func (i *instance) answerAtHypervisor(ctx context.Context, address netip.Addr) (string, error) {
	target, err := i.gatewayTarget()
	if target == nil {
		return "", err
	}
	client, err := ssh.Dial(ctx, *target, nil)
	if err != nil {
		if i.config.Reach == provider.ReachHypervisor {
			return "", fmt.Errorf("trying whether somebody has address %s: %w", address, err)
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

// domainOfMAC names the running domain one of whose MAC addresses is in a text.
func domainOfMAC(conn *libvirt.Connect, text string) string {
	domains, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return ""
	}
	var found string
	for n := range domains {
		if definition, err := readDefinition(&domains[n], 0); err == nil && definition.Devices != nil {
			for _, nic := range definition.Devices.Interfaces {
				if nic.MAC != nil && strings.Contains(strings.ToLower(text), strings.ToLower(nic.MAC.Address)) {
					found = definition.Name
				}
			}
		}
		_ = domains[n].Free()
	}
	return found
}

// macOf is the MAC address of the interface that has a static address. It is
// always the same: machines remember for a minute which one had an IP address,
// and would look for the clone where the one before it was.
func macOf(address netip.Addr) net.HardwareAddr {
	sum := sha256.Sum256([]byte("overcast static address " + address.Unmap().String()))
	return net.HardwareAddr{0x52, 0x54, 0, sum[0], sum[1], sum[2]}
}

// setMAC changes the MAC address of the interface whose address is looked up.
func (c *clone) setMAC(mac net.HardwareAddr) {
	interfaces := c.definition.Devices.Interfaces
	for n := range interfaces {
		if c.mac != nil && interfaces[n].MAC.Address == c.mac.String() {
			interfaces[n].MAC.Address = mac.String()
			c.mac = mac
			return
		}
	}
}

// uuidOf is the UUID of the clone that has a static address, the same on every
// machine: version 8 of RFC 9562, which leaves the other bits to us.
func uuidOf(address netip.Addr) string {
	sum := sha256.Sum256([]byte("overcast static address " + address.Unmap().String()))
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
