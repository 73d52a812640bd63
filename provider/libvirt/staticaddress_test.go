package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

func TestUUIDConflictIsDistinguishedFromOtherFailures(t *testing.T) {
	lock := newAddressLock("web", netip.MustParseAddr("192.0.2.77"))
	refused := func(code libvirt.ErrorNumber, text string) error {
		return fmt.Errorf("starting domain a: %w", virt.StripCodes(libvirt.Error{Code: code, Message: text}))
	}
	assert.True(t, domainxml.IsUUIDConflict(refused(libvirt.ERR_OPERATION_FAILED, "domain 'b' is already defined with uuid "+lock.uuid), lock.uuid))
	assert.False(t, domainxml.IsUUIDConflict(refused(libvirt.ERR_OPERATION_FAILED, "pool is full"), lock.uuid))
	assert.False(t, domainxml.IsUUIDConflict(refused(libvirt.ERR_INTERNAL_ERROR, "domain "+lock.uuid), lock.uuid))
}

var errEnough = errors.New("waited long enough")

// step is a step that was reported.
type step struct{ name, detail string }

// stepsOf calls a function with a context that ends at the first step, and returns
// the steps that were reported.
func stepsOf(t *testing.T, call func(context.Context) error) (steps []step, err error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	err = call(provider.WithReporter(ctx, func(name, detail string) {
		steps = append(steps, step{name, detail})
		cancel(errEnough)
	}))
	return steps, err
}

func TestWaitForAStaticAddressIsAStep(t *testing.T) {
	dir, err := filelock.Dir()
	require.NoError(t, err)
	holder := filelock.Holder{PID: os.Getpid(), Label: "db", Detail: "another run", Since: time.Now()}
	held, err := filelock.Acquire(t.Context(), dir, "static-192.0.2.77", holder, nil)
	require.NoError(t, err)
	defer held.Release()
	steps, err := stepsOf(t, func(ctx context.Context) error {
		return newAddressLock("web", netip.MustParseAddr("192.0.2.77")).acquire(ctx, &storage.Undo{})
	})
	require.ErrorIs(t, err, provider.ErrStaticAddressInUse)
	require.ErrorIs(t, err, errEnough)
	require.Len(t, steps, 1)
	assert.Equal(t, "waiting for static address", steps[0].name)
	assert.Regexp(t, `^192\.0\.2\.77, in use since \S+ \S+ by db of process \d+ \(another run\)$`, steps[0].detail)
}

func TestAddressInUseErrorNamesHolderAndWait(t *testing.T) {
	err := &AddressInUseError{Address: netip.MustParseAddr("10.0.0.9"), Holder: "domain overcast-web (web of process 7 on ci)"}
	require.ErrorIs(t, err, provider.ErrStaticAddressInUse)
	assert.Equal(t, "static address 10.0.0.9 is in use: domain overcast-web (web of process 7 on ci): free the address there, or configure another one in the base domain's system and in static.ip", err.Error())
	err.Waited, err.Cause = 2*time.Second, errors.New("static.wait of 2s expired")
	assert.Equal(t, "static address 10.0.0.9 is in use: domain overcast-web (web of process 7 on ci); waited 2s: static.wait of 2s expired: wait longer (static.wait), or end its holder (a clone that was kept: overcast gc)", err.Error())
	require.ErrorIs(t, err, err.Cause)
}
