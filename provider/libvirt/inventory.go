package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Inventory is what a hypervisor has that a configuration can name. Each list is sorted.
type Inventory struct {
	// Bases are the domains that are shut off and that overcast did not create.
	Bases []BaseDomain
	// Others are the names of the domains that are not shut off, or have a saved
	// state (virsh managedsave), and that overcast did not create.
	Others []string
	// Networks are the active networks with a DHCP server.
	Networks []string
	// Pools are the active storage pools.
	Pools []string
}

// BaseDomain is a domain that a host can be a clone of.
type BaseDomain struct {
	Name string
	// Networks has for each interface the value of networkDeviceId that selects it.
	Networks []string
}

// TakeInventory lists the base domains, networks and storage pools of a hypervisor.
func TakeInventory(ctx context.Context, url string) (Inventory, error) {
	found, err := withConnection(ctx, url, func(_ context.Context, conn *libvirt.Connect) (found Inventory, err error) {
		err = errors.Join(found.addDomains(conn), found.addNetworks(conn), found.addPools(conn))
		return found, err
	})
	if err != nil {
		return Inventory{}, fmt.Errorf("listing domains, networks and pools at %s: %w", redact.Text(url), err)
	}
	return found, nil
}

func (i *Inventory) addDomains(conn *libvirt.Connect) error {
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return fmt.Errorf("listing domains: %w", virt.StripCodes(err))
	}
	for n := range domains {
		i.addDomain(&domains[n])
		_ = domains[n].Free()
	}
	slices.SortFunc(i.Bases, func(a, b BaseDomain) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(i.Others)
	return nil
}

// addDomain adds a domain unless overcast has created it or it no longer exists.
func (i *Inventory) addDomain(domain *libvirt.Domain) {
	definition, err := virt.ReadDefinition(domain, libvirt.DOMAIN_XML_INACTIVE)
	if err != nil || strings.HasPrefix(definition.Name, owner.NamePrefix) {
		return
	}
	state, _, err := domain.GetState()
	if err != nil {
		return
	}
	saved, err := domain.HasManagedSaveImage(0)
	if state != libvirt.DOMAIN_SHUTOFF || (err == nil && saved) {
		i.Others = append(i.Others, definition.Name)
		return
	}
	i.Bases = append(i.Bases, BaseDomain{definition.Name, domainxml.InterfaceNetworks(definition)})
}

func (i *Inventory) addNetworks(conn *libvirt.Connect) error {
	networks, err := conn.ListAllNetworks(libvirt.CONNECT_LIST_NETWORKS_ACTIVE)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing networks: %w", virt.StripCodes(err))
	}
	for n := range networks {
		definition, err := address.ReadNetwork(&networks[n])
		if err == nil && slices.ContainsFunc(definition.IPs, func(ip libvirtxml.NetworkIP) bool { return ip.DHCP != nil }) {
			i.Networks = append(i.Networks, definition.Name)
		}
		_ = networks[n].Free()
	}
	slices.Sort(i.Networks)
	return nil
}

func (i *Inventory) addPools(conn *libvirt.Connect) error {
	pools, err := conn.ListAllStoragePools(libvirt.CONNECT_LIST_STORAGE_POOLS_ACTIVE)
	if virt.IsCode(err, libvirt.ERR_NO_SUPPORT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing pools: %w", virt.StripCodes(err))
	}
	for n := range pools {
		if name, err := pools[n].GetName(); err == nil {
			i.Pools = append(i.Pools, name)
		}
		_ = pools[n].Free()
	}
	slices.Sort(i.Pools)
	return nil
}
