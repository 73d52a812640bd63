package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/overcast-go/overcast/internal/probe"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/gc"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

// strategy returns the strategy that the configuration selects. It fails if the strategy
// cannot work with the clone.
func (i *instance) strategy(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) (strategy.Strategy, error) {
	if i.config.Lookup == lookupStatic {
		return strategy.Static{IP: i.config.Static.IP}, nil
	}
	if c.MAC == nil {
		return nil, fmt.Errorf("base domain %q has no network interface whose address could be looked up: add one, or set static.ip", i.config.BaseDomain)
	}
	switch i.config.Lookup {
	case lookupSSH:
		return i.bySSH(ctx, conn, c)
	case lookupLease:
		return i.byLease(conn, c, 0)
	case lookupAgent:
		return i.byAgent(conn, c)
	case lookupARP:
		return i.byARP(conn, c, arpScanAfter), nil
	}
	return i.race(ctx, conn, c), nil
}

// bySSH asks another machine, which may still have the lease of an earlier clone with the
// same MAC address. libvirt's leases show whether an address is stale.
func (i *instance) bySSH(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) (strategy.Strategy, error) {
	from, err := sshurl.ParseURL(i.config.SSH.URL)
	if err == nil {
		err = credentials.CheckKeyFile(ctx, from)
	}
	by := strategy.SSH{URL: i.config.SSH.URL, Command: i.config.SSH.Command, Timeout: i.config.SSH.Timeout, Reach: answers}
	if network, err := i.leasesBefore(conn, c); err == nil {
		by.Stale = network.IsStale
	}
	return by, err
}

// byLease reads libvirt's leases. Without a DHCP server, it fails after serverTimeout.
func (i *instance) byLease(conn *libvirt.Connect, c *domainxml.Clone, serverTimeout time.Duration) (strategy.Strategy, error) {
	network, err := i.leasesBefore(conn, c)
	if err != nil {
		return nil, err
	}
	network.Health.ServerTimeout = serverTimeout
	return strategy.Lease{Source: network, Reach: answers}, nil
}

// leasesBefore returns the leases of the clone's network with a snapshot of them.
func (i *instance) leasesBefore(conn *libvirt.Connect, c *domainxml.Clone) (*address.Leases, error) {
	network, err := address.FindLeases(conn, c.Network)
	if err != nil {
		return nil, err
	}
	return network, network.Snapshot(i.newAddressCheck(conn, c))
}

// hasLeases reports whether libvirt knows the leases of the clone's network.
func (i *instance) hasLeases(conn *libvirt.Connect, c *domainxml.Clone) bool {
	if c.Leases == "" {
		return false
	}
	_, err := address.FindLeases(conn, c.Leases)
	return err == nil
}

func (i *instance) byAgent(conn *libvirt.Connect, c *domainxml.Clone) (strategy.Strategy, error) {
	if !c.HasAgentChannel() {
		return nil, fmt.Errorf("base domain %q has no channel for a guest agent: add one (<channel type='unix'><target type='virtio' name='%s'/></channel>), install qemu-guest-agent in its system, or use another ipLookupStrategy", i.config.BaseDomain, domainxml.AgentChannel)
	}
	return strategy.Agent{Source: address.Agent{Conn: conn, Domain: c.Name}, Reach: answers}, nil
}

// How long a guest may take to appear in the neighbour table, before ARP requests are sent
// for all addresses of its network; longer if other strategies may find it.
const (
	arpScanAfter     = time.Second
	arpScanAfterRace = 10 * time.Second
)

// missingServerTimeout is how long a guest may take to configure an address on a network without
// a DHCP server.
const missingServerTimeout = 30 * time.Second

func (i *instance) byARP(conn *libvirt.Connect, c *domainxml.Clone, scanAfter time.Duration) strategy.Strategy {
	return strategy.ARP{Source: address.NewNeighbours(conn, i.newAddressCheck(conn, c), scanAfter), Reach: answers}
}

// scanDelay is how long a guest may take before ARP requests are sent for all addresses of
// its network while other strategies look for it. On a network with leases, they are of use
// only when the guest asks for none: every guest of the network receives the requests, and a
// busy machine has many guests that boot for more than 10 s.
func scanDelay(hasLeases bool) time.Duration {
	if hasLeases {
		return missingServerTimeout
	}
	return arpScanAfterRace
}

// race returns all strategies that can work here, for auto.
func (i *instance) race(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) strategy.Strategy {
	var all strategy.Auto
	add := func(s strategy.Strategy, err error) {
		if err == nil { // otherwise it cannot work here
			all.Strategies = append(all.Strategies, s)
		}
	}
	if i.config.SSH.Command != "" {
		add(i.bySSH(ctx, conn, c))
	}
	byLease, err := i.byLease(conn, c, missingServerTimeout)
	add(byLease, err)
	add(i.byAgent(conn, c))
	add(i.byARP(conn, c, scanDelay(err == nil)), nil)
	return all
}

// answers reports whether a machine answers at an address, by accepting or refusing a
// connection.
func answers(ctx context.Context, addr netip.Addr) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), probe.Port))
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	conn.Close()
	return true
}

// findAddress waits for the address while the domain runs, up to addressTimeout.
func (i *instance) findAddress(ctx context.Context, c *domainxml.Clone, find strategy.Strategy) error {
	asked := ctx
	if i.config.Lookup != lookupSSH { // it has its own timeout
		limit := i.config.AddressTimeout
		var cancel func()
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("addressTimeout of %v expired", limit))
		defer cancel()
	}
	ctx, unwatch := provider.WatchSetUp(ctx, i)
	defer unwatch()
	var err error
	i.address, err = trace.Get(ctx, "find address", func() (netip.Addr, error) { return find.Address(ctx, c.MAC) })
	i.foundBy = fmt.Sprint(find)
	if conflict := address.ConflictOf(err); conflict != nil {
		return fmt.Errorf("looking for the address of domain %s: %w", c.Name, conflict)
	}
	if err != nil {
		if missing := i.missingDHCP(i.on.Conn, c.Network); missing != "" && asked.Err() == nil {
			err = fmt.Errorf("%w: %s", err, missing)
		}
		return i.addressError(ctx, asked, c.Name, err)
	}
	return trace.Do(ctx, "check address", func() error { return i.checkAddress(ctx, c) })
}

var _ provider.Diagnoser = (*instance)(nil)

// Explain says whether a machine answers at the address, for a login that has failed.
func (i *instance) Explain(ctx context.Context) string {
	how := probe.ARP(ctx, i.address)
	if how == "" {
		return fmt.Sprintf("address %s was found (%s), but no machine answers there: check that the system of base domain %q keeps the address that it was given", i.address, i.foundBy, i.config.BaseDomain)
	}
	return fmt.Sprintf("%s, so that its system is up (%s): check that base domain %q runs sshd, and what firewall it has", how, i.foundBy, i.config.BaseDomain)
}

// prepareCheck prepares the check of the address of a clone that another process has set up.
// There is none for a clone whose address is not in its metadata.
func (i *instance) prepareCheck(conn *libvirt.Connect, name string) {
	domain, err := conn.LookupDomainByName(name)
	if err != nil {
		return // its state says that it does not exist
	}
	defer domain.Free()
	definition, err := virt.ReadDefinition(domain, 0)
	if err != nil || definition.Metadata == nil {
		return
	}
	metadata := owner.ParseMetadata(name, definition.Metadata.XML)
	if metadata == nil || metadata.Address == nil {
		return
	}
	bridges, err := domainxml.ReadBridges(conn)
	if err != nil {
		return
	}
	if i.address, err = netip.ParseAddr(metadata.Address.IP); err == nil {
		i.check = i.newAddressCheck(conn, domainxml.Running(definition, metadata.Address.Network, bridges))
	}
}

// newAddressCheck prepares the check of the clone's address, as far as it is known.
func (i *instance) newAddressCheck(conn *libvirt.Connect, c *domainxml.Clone) *address.Check {
	return address.NewCheck(conn, c, address.Settings{
		Label: i.label, Base: i.config.BaseDomain, Address: i.address,
		Static: i.config.Lookup == lookupStatic, Free: i.warm.found != nil, Silent: i.config.Reach == provider.ReachHypervisor,
		Gateway: &virt.Gateway{Target: i.gatewayTarget},
	})
}

// checkAddress publishes the address that was found and checks that no other
// machine has it.
func (i *instance) checkAddress(ctx context.Context, c *domainxml.Clone) error {
	if i.address.IsLoopback() {
		return nil
	}
	i.check = i.newAddressCheck(i.on.Conn, c)
	return i.check.CheckFound(ctx, i.renewal.Change)
}

var (
	_ provider.AddressVerifier = (*instance)(nil)
	_ provider.LoginVerifier   = (*instance)(nil)
	_ provider.ConflictChecker = (*instance)(nil)
)

// VerifyAddress checks that the machine that was logged in to is the clone, and
// again that no other machine has its address.
func (i *instance) VerifyAddress(ctx context.Context, run func(context.Context, string) (string, error)) error {
	if i.check == nil {
		return nil
	}
	return i.on.OrLost(i.check.CheckLogin(ctx, run))
}

// VerifyLogin checks that the machine that was logged in to is the clone.
func (i *instance) VerifyLogin(ctx context.Context, run func(context.Context, string) (string, error)) error {
	if i.check == nil {
		return nil
	}
	reached, err := i.check.Identify(ctx, run)
	if err != nil {
		return fmt.Errorf("checking which machine has address %s: %w", i.check.Address, err)
	}
	if reached == nil {
		return nil
	}
	return i.withCheck(ctx, func(check *address.Check) error { return check.Blame(reached) })
}

// CheckConflict looks for another machine with the address of the clone.
func (i *instance) CheckConflict(ctx context.Context) error {
	if i.check == nil {
		return nil
	}
	return i.withCheck(ctx, func(check *address.Check) error { return check.CheckConflict(ctx) })
}

// withCheck calls do with the check over a connection that works now, or over none if
// libvirt does not answer soon. The connection of the set-up may be lost.
func (i *instance) withCheck(ctx context.Context, do func(*address.Check) error) error {
	soon, cancel := context.WithTimeout(ctx, cancelGrace)
	defer cancel()
	on, release, err := i.pool.Acquire(soon, i.config.URL)
	if err != nil {
		return do(i.check.Over(nil))
	}
	return virt.WithContext(ctx, nil, func() error {
		defer release()
		return do(i.check.Over(on.Conn))
	})
}

// addressError returns the error of a look-up that has found no address, with the cause
// first: if the domain did not run or the connection was lost, the error of the strategy
// is not the cause. ctx is the context of the look-up, and asked that of its caller.
func (i *instance) addressError(ctx, asked context.Context, domain string, err error) error {
	if loss := i.on.CheckLost(); loss != nil {
		return loss
	}
	_, outage := i.Outage()
	var stopped *virt.StoppedError
	var paused *virt.PausedError
	cause := context.Cause(ctx)
	switch {
	case errors.As(cause, &stopped): // has the console's last lines itself
		return fmt.Errorf("%w: %w", provider.ErrAddressNotFound, stopped)
	case errors.As(cause, &paused):
		err = paused
	case asked.Err() != nil:
		return fmt.Errorf("looking for the address of domain %s: %w", domain, err)
	case outage != nil:
		err = fmt.Errorf("domain %s: %w: %w", domain, err, outage)
	default:
		err = fmt.Errorf("domain %s: %w", domain, err)
	}
	return fmt.Errorf("%w: %w", provider.ErrAddressNotFound, err)
}

// missingDHCP says that cloud-init makes the clone use DHCP on a network that has no DHCP
// server. It is empty if there is one, or if that cannot be determined.
func (i *instance) missingDHCP(conn *libvirt.Connect, name string) string {
	if !i.config.usesCloudInit() || i.config.CloudInit.NetworkConfig != "" {
		return ""
	}
	network, err := conn.LookupNetworkByName(name)
	if err != nil {
		return "" // a bridge
	}
	defer network.Free()
	definition, err := address.ReadNetwork(network)
	if err != nil || address.DHCPUsage(definition, nil).Total > 0 || !address.IsRouted(definition) {
		return ""
	}
	return fmt.Sprintf("cloud-init makes the host use DHCP, and network %s has no DHCP server of libvirt: add a <dhcp> range to it (virsh net-edit %[1]s), set networkDeviceId to another network, or set cloudInit.networkConfig", name)
}

var _ provider.Finder = (*instance)(nil)

// Find returns the clones of this label that run, the newest first.
func (i *instance) Find(ctx context.Context) ([]provider.Found, error) {
	all, err := withConnection(ctx, i.config.URL, func(ctx context.Context, conn *libvirt.Connect) ([]gc.Resource, error) {
		return gc.List(ctx, conn, gc.Options{Kept: true})
	})
	if err != nil {
		return nil, fmt.Errorf("looking for clones at %s: %w", redact.Text(i.config.URL), err)
	}
	var found []provider.Found
	for _, r := range all {
		if r.Kind != "domain" || r.Label != i.label || r.State != provider.StateRunning {
			continue
		}
		f := provider.Found{ID: r.Name, Address: r.Address, Created: r.Created, Owner: r.Owner}
		if f.Address == "" && i.config.Static.IP.IsValid() {
			f.Address = i.config.Static.IP.String()
		}
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b provider.Found) int { return b.Created.Compare(a.Created) })
	return found, nil
}
