package libvirt

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"libvirt.org/go/libvirt"
)

func TestARaceForAnAddressIsToldFromOtherFailures(t *testing.T) {
	lock := newAddressLock("web", netip.MustParseAddr("192.0.2.77"))
	refused := func(code libvirt.ErrorNumber, text string) error {
		return fmt.Errorf("starting domain a: %w", virt.StripCodes(libvirt.Error{Code: code, Message: text}))
	}
	assert.True(t, domainxml.IsUUIDConflict(refused(libvirt.ERR_OPERATION_FAILED, "domain 'b' is already defined with uuid "+lock.uuid), lock.uuid))
	assert.False(t, domainxml.IsUUIDConflict(refused(libvirt.ERR_OPERATION_FAILED, "pool is full"), lock.uuid))
	assert.False(t, domainxml.IsUUIDConflict(refused(libvirt.ERR_INTERNAL_ERROR, "domain "+lock.uuid), lock.uuid))
}
