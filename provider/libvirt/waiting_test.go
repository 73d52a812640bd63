package libvirt

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/memory"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

func TestWaitsForMemoryAreSteps(t *testing.T) {
	wait := memory.NewMemoryWait(memory.MemoryError{URL: "qemu:///system", Needs: 3 << 30, Free: 512 << 20, Total: 8 << 30})
	steps, err := stepsOf(t, func(ctx context.Context) error {
		for _, users := range [][]string{{"db of process 7"}, {"db of process 7"}, {}} {
			wait.Short.Users = users
			wait.Tell(ctx)
		}
		return context.Cause(ctx)
	})
	require.ErrorIs(t, err, errEnough)
	require.Len(t, steps, 2, "each time that it is somebody else")
	assert.Equal(t, step{"waiting for memory", "of qemu:///system (needs 3.0 GiB, 512 MiB of 8.0 GiB are free): db of process 7 have some, or come first"}, steps[0])
	assert.Contains(t, steps[1].detail, "no clone has any")
}

func TestWaitsForAStaticAddressAreSteps(t *testing.T) {
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
