package libvirt

import (
	"context"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// newAddressCheck prepares the check of the clone's address, as far as it is known.
func (i *instance) newAddressCheck(conn *libvirt.Connect, c *domainxml.Clone) *address.Check {
	return address.NewCheck(conn, c, address.Settings{
		Label: i.label, Base: i.config.BaseDomain, Address: i.address,
		Static: i.config.Lookup == lookupStatic, Silent: i.config.Reach == provider.ReachHypervisor,
		Gateway: &virt.GatewayLogin{Target: i.gatewayTarget},
	})
}

// checkAddress publishes the address that was found and checks that no other
// machine has it.
func (i *instance) checkAddress(ctx context.Context, c *domainxml.Clone) error {
	if i.address.IsLoopback() {
		return nil
	}
	i.check = i.newAddressCheck(i.on.Conn, c)
	return i.check.OnceFound(ctx, i.lease.Change)
}

var _ provider.AddressVerifier = (*instance)(nil)

// VerifyAddress checks that the machine that was logged in to is the clone, and
// again that no other machine has its address.
func (i *instance) VerifyAddress(ctx context.Context, run func(context.Context, string) (string, error)) error {
	if i.check == nil {
		return nil
	}
	return i.check.OnceLoggedIn(ctx, run)
}
