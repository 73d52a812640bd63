package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock/filelocktest"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/strategy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

const (
	cloneMAC   = "52:54:00:0a:0b:0c"
	siblingMAC = "52:54:00:01:02:03"
)

// conflictCheck is that of a clone at 10.0.0.9, on libvirt's test driver, where
// a clone of the same base runs.
func conflictCheck(t *testing.T, siblingAt string) (check *Check, sibling string) {
	t.Helper()
	conn, err := libvirt.NewConnect("test:///default")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	mac, err := net.ParseMAC(cloneMAC)
	require.NoError(t, err)
	c := &domainxml.Clone{Name: owner.NewName("web", owner.Self()), UUID: domainxml.NewUUID(), MAC: mac, Network: "default", Bridge: "virbr0", Definition: &libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{
		Interfaces: []libvirtxml.DomainInterface{{MAC: &libvirtxml.DomainInterfaceMAC{Address: cloneMAC}}},
	}}}
	m := owner.NewMetadata(owner.NewName("db", owner.Self()), "base", "db", time.Minute)
	if siblingAt != "" {
		m.Address = &owner.MetadataAddress{Network: "virbr0", IP: siblingAt}
	}
	domain, err := conn.DomainCreateXML(fmt.Sprintf(`<domain type='test'><name>%s</name><metadata>%s</metadata><memory>8192</memory><os><type>hvm</type></os>
		<devices><interface type='network'><mac address='%s'/><source network='default'/></interface></devices></domain>`, m.Name, m.XML(), siblingMAC), 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = domain.Destroy(); _ = domain.Free() })
	return &Check{conn: conn, clone: c, Settings: Settings{Base: "base", Address: netip.MustParseAddr("10.0.0.9")}}, m.Name
}

func TestConflictErrorNamesTheCauseAndWhatToDo(t *testing.T) {
	err := error(&AddressConflictError{
		Address: netip.MustParseAddr("10.0.0.9"), Domain: "overcast-web-1", BaseDomain: "base", ClientID: "ff:01",
		Owner: AddressOwner{MAC: siblingMAC, Domain: "overcast-db-2", Label: "db", Process: "process 7 on ci", BaseDomain: "base", Evidence: "it holds the DHCP lease"},
	})
	require.ErrorIs(t, err, provider.ErrAddressConflict)
	require.ErrorIs(t, err, strategy.ErrFinal)
	assert.Equal(t, `address 10.0.0.9 of domain overcast-web-1 belongs to domain overcast-db-2 (db of process 7 on ci), MAC address 52:54:00:01:02:03: it holds the DHCP lease: `+
		`clones of base domain "base" send the same DHCP client identifier (ff:01), so the DHCP server gives all of them one address: `+
		`set provision.cache = true for the host; or empty /etc/machine-id in the base domain's system (truncate -s 0 /etc/machine-id), from which systemd-networkd makes the identifier; `+
		`or set ClientIdentifier=mac in section [DHCPv4] of its .network file; `+
		`or add the dnsmasq option dhcp-ignore-clid to the libvirt network (overcast doctor shows how)`, err.Error())

	err.(*AddressConflictError).ClientID = ""
	require.ErrorContains(t, err, `it holds the DHCP lease: the system of base domain "base" configures the address itself: use ipLookupStrategy = static; or its clones send the same DHCP client identifier: set provision.cache = true for the host; or empty /etc/machine-id`)

	err = &AddressConflictError{Address: netip.MustParseAddr("10.0.0.9"), Domain: "overcast-web-1", BaseDomain: "base", Owner: AddressOwner{MAC: "00:16:3e:00:00:01", Evidence: "it answers ARP requests for it"}}
	assert.Equal(t, `address 10.0.0.9 of domain overcast-web-1 belongs to another machine, MAC address 00:16:3e:00:00:01: it answers ARP requests for it: `+
		`give one of them another address, or take the address out of the DHCP range`, err.Error())
}

func TestAddressOfAnotherCloneIsAConflict(t *testing.T) {
	own := &owner.MetadataAddress{Network: "virbr0", IP: "10.0.0.9"}
	for _, others := range []string{"10.0.0.9", "10.0.0.90", ""} {
		t.Run(others, func(t *testing.T) {
			check, sibling := conflictCheck(t, others)
			err := check.byMetadata(own)
			if others != own.IP {
				require.NoError(t, err)
				return
			}
			var conflict *AddressConflictError
			require.ErrorAs(t, err, &conflict)
			assert.Equal(t, AddressOwner{MAC: siblingMAC, Domain: sibling, Label: "db", Process: owner.Self().String(), BaseDomain: "base", Evidence: "its metadata has the same address"}, conflict.Owner)
			require.NoError(t, check.byMetadata(&owner.MetadataAddress{Network: "virbr1", IP: "10.0.0.9"}), "on another network")
		})
	}
}

func TestLoginToAnotherMachineIsAConflict(t *testing.T) {
	check, sibling := conflictCheck(t, "")
	const other = "fced025a-1112-4d05-83b1-fb8de3933426\n"
	for name, test := range map[string]struct {
		printed string
		err     error
		other   string // domain, MAC address or text of the error
	}{
		"the clone's UUID":                    {printed: check.clone.UUID + "\n02:42:ac:11:00:02\n"},
		"the clone's MAC address":             {printed: "52:54:00:0A:0B:0C\n00:00:00:00:00:00\n"},
		"a system without identity":           {printed: "00:00:00:00:00:00\ncat: not found\n"},
		"one that runs no commands":           {err: errors.New("exec request refused")},
		"a container of the clone's":          {printed: "02:42:ac:11:00:02\n00:00:00:00:00:00\n"},
		"another clone of the hypervisor":     {printed: other + siblingMAC + "\n", other: sibling},
		"a clone of another hypervisor":       {printed: "52:54:00:77:77:77\n", other: "52:54:00:77:77:77"},
		"a machine with another UUID":         {printed: other + "00:16:3e:00:00:01\n", other: "UUID fced025a-1112-4d05-83b1-fb8de3933426"},
		"a connection that is lost meanwhile": {err: fmt.Errorf("%w: reset", sshclient.ErrConnectionLost), other: "reading the identity"},
	} {
		t.Run(name, func(t *testing.T) {
			err := check.byLogin(t.Context(), func(_ context.Context, cmd string) (string, error) {
				assert.Equal(t, identityCommand, cmd)
				return test.printed, test.err
			})
			if test.other == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.other)
		})
	}
}

func TestLeasesOfOtherMachinesAreFound(t *testing.T) {
	check, _ := conflictCheck(t, "")
	lease := func(ip, mac, id string, kind libvirt.IPAddrType) libvirt.NetworkDHCPLease {
		return libvirt.NetworkDHCPLease{IPaddr: ip, Mac: mac, Clientid: id, Type: kind}
	}
	const v4, v6 = libvirt.IP_ADDR_TYPE_IPV4, libvirt.IP_ADDR_TYPE_IPV6
	own := lease("10.0.0.9", cloneMAC, "ff:01", v4)
	assert.Empty(t, check.leasesOfOthers([]libvirt.NetworkDHCPLease{own, lease("10.0.0.10", siblingMAC, "ff:02", v4)}))
	assert.Equal(t, []string{siblingMAC}, check.leasesOfOthers([]libvirt.NetworkDHCPLease{lease("10.0.0.9", siblingMAC, "", v4)}), "the address")
	assert.Equal(t, []string{siblingMAC}, check.leasesOfOthers([]libvirt.NetworkDHCPLease{own, lease("10.0.0.10", siblingMAC, "ff:01", v4)}), "the client identifier")
	assert.Empty(t, check.leasesOfOthers([]libvirt.NetworkDHCPLease{own, lease("fd00::1", siblingMAC, "ff:01", v6)}), "DHCPv6 identifies machines by more than that")
	assert.Empty(t, check.leasesOfOthers([]libvirt.NetworkDHCPLease{lease("10.0.0.9", cloneMAC, "", v4), lease("10.0.0.10", siblingMAC, "", v4)}), "none")
}

func TestLeaseThatHasMovedToAMachineThatIsGoneIsAConflict(t *testing.T) {
	check, _ := conflictCheck(t, "")
	check.clone.Base = domainxml.NewUUID()
	filelocktest.RemoveAtEnd(t, clientIDRecordName(check.clone.Base))
	const goneMAC = "52:54:00:06:06:06"
	leases := []libvirt.NetworkDHCPLease{{IPaddr: check.Address.String(), Mac: goneMAC, Clientid: "ff:01", Type: libvirt.IP_ADDR_TYPE_IPV4}}
	require.NoError(t, check.byLostLease(leases), "the clone may never have had it: the lease may be of an earlier machine")
	check.leased = true
	err := check.byLostLease(leases)
	require.ErrorIs(t, err, provider.ErrAddressConflict)
	require.ErrorContains(t, err, "belongs to another machine, MAC address "+goneMAC+": the DHCP server has moved its lease to that machine, which does not run any more: give one of them another address")
	noteClientID(t.Context(), "web", check.clone.Base, "ff:01", goneMAC)
	require.ErrorContains(t, check.byLostLease(leases), "which does not run any more: the system of base domain", "it was a clone of the same base")
	leases[0].Mac = cloneMAC
	require.NoError(t, check.byLostLease(leases))
}

func TestLeaseThatMovesBetweenClonesIsAConflict(t *testing.T) {
	const id = "ff:01:02:03:04"
	at := func(mac, id string) []libvirt.NetworkDHCPLease {
		return []libvirt.NetworkDHCPLease{{IPaddr: "10.0.0.9", Mac: mac, Clientid: id, Type: libvirt.IP_ADDR_TYPE_IPV4}}
	}
	const strangerMAC = "52:54:00:05:05:05"
	for name, test := range map[string]struct {
		before, then []libvirt.NetworkDHCPLease
		conflict     bool
	}{
		"one of another clone":                             {then: at(siblingMAC, id)},
		"one that was there before":                        {before: at(siblingMAC, id), then: at(siblingMAC, id)},
		"one that has moved to another clone":              {before: at(strangerMAC, id), then: at(siblingMAC, id), conflict: true},
		"one that has moved from another clone":            {before: at(siblingMAC, id), then: at(cloneMAC, id), conflict: true},
		"one that has moved to a machine that is no clone": {before: at(siblingMAC, id), then: at(strangerMAC, id)},
		"the clone's own":                                  {before: at(cloneMAC, id), then: at(cloneMAC, id)},
		"one that is identified by its MAC address":        {before: at(strangerMAC, "01:"+siblingMAC), then: at(siblingMAC, "01:"+siblingMAC)},
	} {
		t.Run(name, func(t *testing.T) {
			check, _ := conflictCheck(t, "")
			ids := newClientIDs(check, test.before)
			for range 2 { // at the first look that shows it, and at every later one
				err := ids.conflict(t.Context(), test.then)
				if test.conflict {
					require.ErrorIs(t, err, provider.ErrAddressConflict)
				} else {
					require.NoError(t, err)
				}
			}
		})
	}
}

func TestOnlyAClientIdentifierThatIsNotOfTheMACAddressIsShared(t *testing.T) {
	at := netip.MustParseAddr("10.0.0.9")
	lease := libvirt.NetworkDHCPLease{IPaddr: at.String(), Mac: "52:54:00:0a:0b:0c", Clientid: "01:52:54:00:0a:0b:0c"}
	assert.Empty(t, sharedClientID([]libvirt.NetworkDHCPLease{lease}, at))
	lease.Clientid = "ff:01:02"
	assert.Equal(t, "ff:01:02", sharedClientID([]libvirt.NetworkDHCPLease{{IPaddr: "10.0.0.8", Clientid: "ff:03"}, lease}, at))
}

func TestClientIdentifiersDerivedFromMACAddressesAreDetected(t *testing.T) {
	for id, is := range map[string]bool{
		"01:52:54:00:0a:0b:0c": true,
		"ff:00:0a:0b:0c:00:01:00:01:2a:00:00:00:52:54:00:ff:ff:ff":    true, // dhcpcd's
		"ff:56:50:4d:98:00:02:00:00:ab:11:1e:f7:55:6c:0e:2f:1b:00:77": false,
		"": false,
	} {
		assert.Equal(t, is, isFromMAC(id, "52:54:00:0A:0B:0C"), id)
	}
}
