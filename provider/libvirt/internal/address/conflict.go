package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/probe"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

// AddressConflictError reports that another machine has the address of a clone. It is a
// [provider.ErrAddressConflict].
type AddressConflictError struct {
	Address    netip.Addr
	Domain     string // name of the clone
	BaseDomain string // of the clone
	ClientID   string // DHCP client identifier of the address's lease that several clones may send; "" if there is none
	Owner      AddressOwner
}

// AddressOwner is the machine that has the address of a clone.
type AddressOwner struct {
	MAC        string // "" if it is not known
	Domain     string // "" for a machine that is no domain of the hypervisor
	Label      string // of the host, for a clone
	Process    string // that owns the clone
	BaseDomain string // of a clone
	Evidence   string // such as "it holds the DHCP lease"
}

// String names the machine as far as it is known.
func (o AddressOwner) String() string {
	text := "another machine"
	if o.Domain != "" {
		text = "domain " + o.Domain
	}
	if o.Label != "" {
		text += fmt.Sprintf(" (%s of %s)", o.Label, o.Process)
	}
	if o.MAC != "" {
		text += ", MAC address " + o.MAC
	}
	return text
}

// Error names the address, the domain, the other machine, the cause and what to
// do.
func (e *AddressConflictError) Error() string {
	text := fmt.Sprintf("address %s of domain %s belongs to %s: %s", e.Address, e.Domain, e.Owner, e.Owner.Evidence)
	if e.Owner.BaseDomain == "" || e.Owner.BaseDomain != e.BaseDomain {
		return text + ": give one of them another address, or take the address out of the DHCP range"
	}
	if e.ClientID == "" {
		return text + fmt.Sprintf(": the system of base domain %q configures the address itself: use ipLookupStrategy = static; or its clones send the same DHCP client identifier: %s",
			e.BaseDomain, ClientIDHint)
	}
	return text + fmt.Sprintf(": clones of base domain %q send the same DHCP client identifier (%s), so the DHCP server gives all of them one address: %s",
		e.BaseDomain, e.ClientID, ClientIDHint)
}

// ClientIDHint says what to do about clones with the same client identifier.
const ClientIDHint = "set provision.cache = true for the host; or empty /etc/machine-id in the base domain's system (truncate -s 0 /etc/machine-id), from which systemd-networkd makes the identifier; " +
	"or set ClientIdentifier=mac in section [DHCPv4] of its .network file; or add the dnsmasq option dhcp-ignore-clid to the libvirt network (overcast doctor shows how)"

// Is makes the error a [provider.ErrAddressConflict], and final for all
// strategies.
func (e *AddressConflictError) Is(target error) bool {
	return target == provider.ErrAddressConflict || target == strategy.ErrFinal
}

// Check checks whether another machine has the address of a clone.
type Check struct {
	Settings
	conn   *libvirt.Connect
	clone  *domainxml.Clone
	link   string // this machine's interface to the clone's network; "" if the hypervisor is another machine
	leased bool   // the clone has had a DHCP lease of the address
}

// Settings are the parameters of a check.
type Settings struct {
	Label   string // of the host
	Base    string // name of the base domain
	Address netip.Addr
	Static  bool // the clone configures the address itself, possibly with another MAC address
	Free    bool // CheckFree succeeded before the clone got the address
	Silent  bool // the addresses of this machine's networks are not those of the clone's network
	Gateway *virt.Gateway
}

// NewCheck prepares the check of a clone's address.
func NewCheck(conn *libvirt.Connect, c *domainxml.Clone, s Settings) *Check {
	a := &Check{conn: conn, clone: c, Settings: s}
	if _, err := net.InterfaceByName(c.Bridge); err == nil && a.Gateway.IsLocal() {
		a.link = c.Bridge // without the interface, this process is in a container
	}
	return a
}

// Over returns the check over another connection, which may be nil: errors then have less
// detail.
func (a *Check) Over(conn *libvirt.Connect) *Check {
	over := *a
	over.conn = conn
	return &over
}

// CheckFound publishes the address that was found, and fails with an
// *[AddressConflictError] if another machine has it. If two processes find the same
// address at the same time, at least one of them fails: each writes before it reads.
func (a *Check) CheckFound(ctx context.Context, change metadataChanger) error {
	checks := []func(context.Context) error{
		func(ctx context.Context) error { return a.publish(ctx, change) },
		a.byLeases,
	}
	if !a.Static && !a.Free { // a static address was checked before the clone was started
		// CheckLogin waits for more answers than the first.
		checks = append(checks, func(ctx context.Context) error { return a.byARP(ctx, 0) })
	}
	return a.all(ctx, checks...)
}

// CheckFree fails with an *[AddressConflictError] if a machine answers at the address. It is
// called while the clone does not run.
func (a *Check) CheckFree(ctx context.Context) error {
	if a.Silent {
		return nil
	}
	macs, err := arpAnswers(ctx, a.link, a.Address, freeWait, 0)
	if err != nil || len(macs) == 0 {
		return nil // CheckFound and CheckLogin check again
	}
	live, err := ListLiveDomains(a.conn)
	if err != nil {
		return err
	}
	return a.conflict(withMAC(live, macs[0], a.clone.Name), macs[0], "it answers ARP requests for it")
}

// CheckLogin checks that the login reached the clone, and again that no other machine
// has its address.
func (a *Check) CheckLogin(ctx context.Context, run func(context.Context, string) (string, error)) error {
	return a.all(ctx,
		func(ctx context.Context) error { return a.byLogin(ctx, run) },
		a.byLeases,
		func(ctx context.Context) error { return a.byARP(ctx, arpGrace) },
		a.byNeighbours)
}

// CheckConflict looks for another machine with the address, after the clone could be
// reached at it and no longer can.
func (a *Check) CheckConflict(ctx context.Context) error {
	if a.conn == nil {
		return nil
	}
	return a.all(ctx,
		a.byLeases,
		func(ctx context.Context) error { return a.byARP(ctx, arpGrace) },
		a.byNeighbours)
}

// all runs checks at the same time, and returns the error of the first in the
// list that fails.
func (a *Check) all(ctx context.Context, checks ...func(context.Context) error) error {
	errs := make([]error, len(checks))
	var running sync.WaitGroup
	for n, check := range checks {
		running.Go(func() { errs[n] = check(ctx) })
	}
	running.Wait()
	for _, err := range errs {
		if conflict := ConflictOf(err); conflict != nil {
			a.noteConflict(ctx, conflict)
			return conflict
		}
		if err != nil {
			return fmt.Errorf("checking whether another machine has address %s: %w", a.Address, err)
		}
	}
	return nil
}

// noteConflict records the client identifier that two clones of one base share, if
// that is the cause of an error.
func (a *Check) noteConflict(ctx context.Context, err error) {
	conflict := ConflictOf(err)
	if conflict == nil || a.clone.MAC == nil || a.clone.Base == "" || conflict.Owner.BaseDomain != conflict.BaseDomain {
		return
	}
	mac, _, _ := strings.Cut(conflict.Owner.MAC, ", ")
	noteClientID(ctx, a.Label, a.clone.Base, conflict.ClientID, a.clone.MAC.String())
	noteClientID(ctx, a.Label, a.clone.Base, conflict.ClientID, mac)
}

// metadataChanger changes the metadata of the clone.
type metadataChanger func(ctx context.Context, change func(*owner.Metadata)) error

// publish writes the address to the metadata of the clone, and then looks for it
// in the metadata of all other clones.
func (a *Check) publish(ctx context.Context, change metadataChanger) error {
	own := &owner.MetadataAddress{Network: a.clone.Segment(), IP: a.Address.String()}
	if own.Network == "" {
		return nil // the network on which the address must be unique is not known
	}
	err := change(ctx, func(m *owner.Metadata) { m.Address = own })
	if err != nil && !virt.IsCode(err, libvirt.ERR_NO_SUPPORT) && !errors.Is(err, virt.ErrNoMetadata) {
		return fmt.Errorf("writing it to the metadata of domain %s: %w", a.clone.Name, virt.StripCodes(err))
	}
	return virt.WithContext(ctx, a.conn, func() error { return a.byMetadata(own) })
}

// byMetadata looks for a clone that has published the same address.
func (a *Check) byMetadata(own *owner.MetadataAddress) error {
	domains, err := a.conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	var other *LiveDomain
	for n := range domains {
		name, err := domains[n].GetName()
		if err == nil && other == nil && name != a.clone.Name && strings.HasPrefix(name, owner.NamePrefix) {
			text, err := domains[n].GetXMLDesc(0)
			if err == nil && strings.Contains(text, own.IP) { // otherwise it need not be parsed
				other = publisher(text, own)
			}
		}
		_ = domains[n].Free()
	}
	if other == nil {
		return nil
	}
	return a.conflict(other, "", "its metadata has the same address")
}

// publisher parses the definition of a domain. It returns nil unless the domain is a
// clone that has published the address.
func publisher(text string, address *owner.MetadataAddress) *LiveDomain {
	d := parseLiveDomain(text)
	if d == nil || d.clone == nil || d.clone.Address == nil || *d.clone.Address != *address {
		return nil
	}
	return d
}

// byLeases looks for a lease of the address, or of the same client identifier,
// that belongs to another live domain.
func (a *Check) byLeases(ctx context.Context) error {
	if a.clone.Leases == "" {
		return nil
	}
	return virt.WithContext(ctx, a.conn, func() error {
		all, err := ReadLeases(a.conn, a.clone.Leases)
		if err != nil {
			return err
		}
		for _, l := range all {
			if l.IPaddr == a.Address.String() && a.clone.HasMAC(l.Mac) {
				a.leased = true
				noteClientID(ctx, a.Label, a.clone.Base, l.Clientid, l.Mac)
			}
		}
		others := a.leasesOfOthers(all)
		if len(others) == 0 {
			return nil
		}
		live, err := ListLiveDomains(a.conn)
		if err != nil {
			return err
		}
		for _, mac := range others {
			if other := withMAC(live, mac, a.clone.Name); other != nil {
				return a.conflict(other, mac, "it holds the DHCP lease")
			}
		}
		return a.byLostLease(all)
	})
}

// byLostLease looks for a lease of the address that has moved from the clone to a machine
// that no longer runs, such as another clone whose set-up has failed.
func (a *Check) byLostLease(all []libvirt.NetworkDHCPLease) error {
	if !a.leased {
		return nil
	}
	for _, l := range all {
		if l.IPaddr != a.Address.String() || a.clone.HasMAC(l.Mac) {
			continue
		}
		return a.conflict(nil, l.Mac, "the DHCP server has moved its lease to that machine, which does not run any more")
	}
	return nil
}

// leasesOfOthers returns the MAC addresses of other machines with a lease of the clone's
// address or with its client identifier.
func (a *Check) leasesOfOthers(all []libvirt.NetworkDHCPLease) (macs []string) {
	clientID := ""
	for _, l := range all {
		if a.clone.HasMAC(l.Mac) && l.IPaddr == a.Address.String() && a.Address.Is4() {
			clientID = l.Clientid
		}
	}
	for _, l := range all {
		same := l.IPaddr == a.Address.String() || (clientID != "" && l.Type == libvirt.IP_ADDR_TYPE_IPV4 && l.Clientid == clientID)
		if same && !a.clone.HasMAC(l.Mac) {
			macs = append(macs, l.Mac)
		}
	}
	return macs
}

// Limits of the wait for the first answer to an ARP request, and for more answers.
const (
	arpWait  = 50 * time.Millisecond
	arpGrace = 30 * time.Millisecond
	freeWait = 100 * time.Millisecond // while the clone is created, which takes longer
)

// byARP sends an ARP request for the address, if this process may. A missing answer
// proves nothing: the clone's system may not be up.
func (a *Check) byARP(ctx context.Context, grace time.Duration) error {
	if a.Silent {
		return nil
	}
	macs, err := arpAnswers(ctx, a.link, a.Address, arpWait, grace)
	if err != nil {
		return nil // this process may not send requests, or cannot reach the network
	}
	foreign := slices.DeleteFunc(slices.Clone(macs), a.clone.HasMAC)
	if len(foreign) == 0 {
		return nil
	}
	const evidence = "it answers ARP requests for it"
	live, err := ListLiveDomains(a.conn)
	if err != nil {
		return err
	}
	for _, mac := range foreign {
		if other := withMAC(live, mac, a.clone.Name); other != nil {
			return a.conflict(other, mac, evidence)
		}
	}
	// On another machine's network a router may answer in place of the clone.
	if len(foreign) < len(macs) || (a.link != "" && !a.Static) {
		return a.conflict(nil, foreign[0], evidence)
	}
	return nil
}

// arpAnswers returns the MAC addresses that answer for an address, until grace has passed
// since the first answer.
func arpAnswers(ctx context.Context, link string, address netip.Addr, wait, grace time.Duration) (macs []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answers, err := probe.Answers(ctx, link, address, grace)
	for _, mac := range answers {
		macs = append(macs, mac.String())
	}
	return macs, err
}

// byNeighbours looks up the machine that the login has just reached: this process may
// not be allowed to send ARP requests.
func (a *Check) byNeighbours(context.Context) error {
	if a.link == "" || a.Silent {
		return nil
	}
	table, err := probe.Neighbours(a.link)
	if err != nil {
		return nil
	}
	for _, n := range table {
		if n.Addr != a.Address || !n.Confirmed || a.clone.HasMAC(n.MAC.String()) {
			continue
		}
		live, err := ListLiveDomains(a.conn)
		if err != nil {
			return err
		}
		if other := withMAC(live, n.MAC.String(), a.clone.Name); other != nil {
			return a.conflict(other, n.MAC.String(), "it is at the address in the neighbour table")
		}
	}
	return nil
}

// identityCommand prints the UUID of a machine, which only root may read, and the MAC
// addresses of its interfaces, as far as the system has them.
const identityCommand = "exec cat /sys/class/dmi/id/product_uuid /sys/class/net/*/address"

// identityLimit limits the command.
const identityLimit = 10 * time.Second

// byLogin compares the machine that the login reached with the clone.
func (a *Check) byLogin(ctx context.Context, run func(context.Context, string) (string, error)) error {
	reached, err := a.Identify(ctx, run)
	if err != nil || reached == nil {
		return err
	}
	return a.Blame(reached)
}

// Identity is what the system of a machine shows of the machine.
type Identity struct {
	uuid string
	macs []string
}

// Identify reads the identity of the machine that a login reached. It returns nil for the
// clone, and for a system that does not show its identity. It makes no call of libvirt.
func (a *Check) Identify(ctx context.Context, run func(context.Context, string) (string, error)) (*Identity, error) {
	limited, cancel := context.WithTimeout(ctx, identityLimit)
	defer cancel()
	stdout, err := run(limited, identityCommand)
	switch {
	case ctx.Err() != nil || errors.Is(err, sshclient.ErrConnectionLost):
		return nil, fmt.Errorf("reading the identity of the machine: %w", err)
	case err != nil:
		return nil, nil // the command cannot be run there, or does not end
	}
	uuid, macs := parseIdentity(stdout)
	if strings.EqualFold(uuid, a.clone.UUID) || slices.ContainsFunc(macs, a.clone.HasMAC) {
		return nil, nil
	}
	if uuid == "" && len(macs) == 0 {
		return nil, nil
	}
	return &Identity{uuid, macs}, nil
}

// Blame returns an *[AddressConflictError] for the machine that a login reached instead of
// the clone. It returns nil if that may be a part of the clone.
func (a *Check) Blame(reached *Identity) error {
	const evidence = "the login reached it"
	uuid, macs := reached.uuid, reached.macs
	var live []*LiveDomain
	if a.conn != nil {
		live, _ = ListLiveDomains(a.conn) // without them the error has less detail
	}
	for _, mac := range macs {
		if other := withMAC(live, mac, a.clone.Name); other != nil {
			return a.conflict(other, mac, evidence)
		}
	}
	// Without its UUID, a machine counts as another one only if it has a MAC address of
	// QEMU's: the login may have reached a container in the clone.
	virtual := slices.IndexFunc(macs, func(mac string) bool { return strings.HasPrefix(mac, qemuMACs) })
	switch {
	case virtual >= 0:
		return a.conflict(nil, macs[virtual], evidence)
	case uuid != "":
		return a.conflict(nil, "", evidence+", UUID "+uuid)
	}
	return nil
}

// qemuMACs is the prefix of MAC addresses of QEMU and KVM.
const qemuMACs = "52:54:00:"

var (
	uuidLine = regexp.MustCompile(`(?mi)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	macLine  = regexp.MustCompile(`(?mi)^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)
)

// noMAC is the address of an interface without one, such as lo.
const noMAC = "00:00:00:00:00:00"

// parseIdentity parses the output of identityCommand.
func parseIdentity(text string) (uuid string, macs []string) {
	for _, mac := range macLine.FindAllString(text, -1) {
		if mac != noMAC {
			macs = append(macs, strings.ToLower(mac))
		}
	}
	return strings.ToLower(uuidLine.FindString(text)), macs
}

// conflict returns the error for another machine that has the address. other is nil if
// the machine is no running domain of the hypervisor.
func (a *Check) conflict(other *LiveDomain, mac, evidence string) *AddressConflictError {
	e := &AddressConflictError{Address: a.Address, Domain: a.clone.Name, BaseDomain: a.Base, Owner: newAddressOwner(other, mac, evidence)}
	if other == nil && a.clone.Base != "" {
		if _, sibling := ReadClientIDs(a.clone.Base)[strings.ToLower(mac)]; sibling { // a clone that is gone
			e.Owner.BaseDomain = a.Base
		}
	}
	if a.clone.Leases != "" && a.conn != nil {
		all, _ := ReadLeases(a.conn, a.clone.Leases) // without them the error has less detail
		e.ClientID = sharedClientID(all, a.Address)
	}
	return e
}

// sharedClientID returns the client identifier of the lease of an address, unless the machine
// has made it of its MAC address, so that no other machine sends it.
func sharedClientID(leases []libvirt.NetworkDHCPLease, of netip.Addr) (id string) {
	for _, l := range leases {
		if l.IPaddr == of.String() && !isFromMAC(l.Clientid, l.Mac) {
			id = l.Clientid
		}
	}
	return id
}

func newAddressOwner(other *LiveDomain, mac, evidence string) AddressOwner {
	o := AddressOwner{MAC: mac, Evidence: evidence}
	if other == nil {
		return o
	}
	o.Domain = other.Name
	if o.MAC == "" && len(other.MACs) > 0 {
		o.MAC = strings.Join(other.MACs, ", ")
	}
	if m := other.clone; m != nil {
		o.Label, o.Process, o.BaseDomain = m.Label, owner.Process(m.Owner).String(), m.Parent
	}
	return o
}

// ConflictOf returns the conflict among the causes of an error, or nil.
func ConflictOf(err error) *AddressConflictError {
	var conflict *AddressConflictError
	errors.As(err, &conflict)
	return conflict
}
