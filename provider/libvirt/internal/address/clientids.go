package address

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
)

// clientIDs watches the DHCP client identifiers of a network while a clone has no
// lease. A DHCP server identifies a machine by its client identifier before its MAC
// address: if clones send the same identifier, the server moves one lease from clone to
// clone, and the leases may never show it with this clone.
type clientIDs struct {
	check *Check            // of the clone
	first map[string]string // MAC address that each identifier was seen with first

	suspect string // a clone that may have the same identifier; "" if there is none

	live   []*LiveDomain
	liveAt time.Time
	asked  throttle // check whether the clone has the address of another
}

// newClientIDs starts with the leases before the clone is started.
func newClientIDs(check *Check, leases []libvirt.NetworkDHCPLease) *clientIDs {
	ids := &clientIDs{check: check, first: map[string]string{}}
	for _, l := range leases {
		ids.first[l.Clientid] = l.Mac
	}
	return ids
}

// siblingPause is the interval at which live domains are listed, and at which the clone
// is checked for the address of another clone.
const siblingPause = time.Second

// conflict returns an *AddressConflictError if the clone has the client
// identifier of another live clone of its base, or nil.
func (ids *clientIDs) conflict(ctx context.Context, leases []libvirt.NetworkDHCPLease) error {
	for _, l := range leases {
		if l.Type != libvirt.IP_ADDR_TYPE_IPV4 || l.Clientid == "" || isFromMAC(l.Clientid, l.Mac) {
			continue
		}
		first, known := ids.first[l.Clientid]
		if !known {
			ids.first[l.Clientid] = l.Mac
		}
		moved := known && !strings.EqualFold(first, l.Mac)
		mac := l.Mac
		if ids.check.clone.HasMAC(mac) {
			if !moved {
				continue
			}
			mac = first // the lease has moved to the clone
		}
		err := ids.compare(ctx, l, mac, moved)
		ids.check.noteConflict(ctx, err)
		if err != nil {
			return err
		}
	}
	return nil
}

// compare checks the lease of an identifier that the machine with a MAC address holds or
// held.
func (ids *clientIDs) compare(ctx context.Context, l libvirt.NetworkDHCPLease, mac string, moved bool) error {
	sibling, err := ids.sibling(mac)
	if sibling == nil {
		return err
	}
	check := *ids.check
	if check.Address, err = netip.ParseAddr(l.IPaddr); err != nil {
		return nil // libvirt's addresses are well-formed
	}
	if moved {
		return check.conflict(sibling, mac, "the DHCP server has moved its lease from one clone to another")
	}
	if ids.asked.due(siblingPause) && check.sharesAddress(ctx, check.Address) {
		return check.conflict(sibling, mac, "it holds the DHCP lease, and both have the address")
	}
	ids.suspect = fmt.Sprintf("%v, another clone of base domain %q, has the lease of %s under client identifier %s: if the clones send the same one, see overcast doctor", sibling, ids.check.Base, l.IPaddr, l.Clientid)
	return nil
}

// sibling finds the live clone of the same base that has a MAC address.
func (ids *clientIDs) sibling(mac string) (*LiveDomain, error) {
	if time.Since(ids.liveAt) >= siblingPause {
		live, err := ListLiveDomains(ids.check.conn)
		if err != nil {
			return nil, err
		}
		ids.live, ids.liveAt = live, time.Now()
	}
	d := withMAC(ids.live, mac, ids.check.clone.Name)
	if d == nil || d.clone == nil || d.clone.Parent != ids.check.Base {
		return nil, nil
	}
	return d, nil
}

// isFromMAC reports whether a client identifier is derived from a MAC address: it
// contains the last four bytes of the address.
func isFromMAC(id, mac string) bool {
	const prefix = len("52:54:")
	return len(mac) > prefix && strings.Contains(strings.ToLower(id), strings.ToLower(mac[prefix:]))
}
