package libvirt

import (
	"context"

	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
)

// newAddressCheck prepares the check of the clone's address, as far as it is known.
func (i *instance) newAddressCheck(conn *libvirt.Connect, c *clone) *addressCheck {
	return newAddressCheck(conn, c, addressSettings{
		label: i.label, base: i.config.BaseDomain, address: i.address,
		static: i.config.Lookup == lookupStatic, silent: i.config.Reach == provider.ReachHypervisor,
		gateway: &gatewayLogin{target: i.gatewayTarget},
	})
}

// checkAddress publishes the address that was found and checks that no other
// machine has it.
func (i *instance) checkAddress(ctx context.Context, c *clone) error {
	if i.address.IsLoopback() {
		return nil
	}
	i.check = i.newAddressCheck(i.on.conn, c)
	return i.check.onceFound(ctx, i.lease.change)
}

var _ provider.AddressVerifier = (*instance)(nil)

// VerifyAddress checks that the machine that was logged in to is the clone, and
// again that no other machine has its address.
func (i *instance) VerifyAddress(ctx context.Context, run func(context.Context, string) (string, error)) error {
	if i.check == nil {
		return nil
	}
	return i.check.onceLoggedIn(ctx, run)
}
