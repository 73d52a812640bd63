package libvirt

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// journey is a host whose set-up is a function.
type journey struct {
	fixture.Common
	setUp func(context.Context) error
}

func (j *journey) Keys() []string                                          { return []string{"journey"} }
func (j *journey) Instance(string, *hocon.Value) (fixture.Instance, error) { return j, nil }
func (j *journey) SetUp(ctx context.Context) error                         { return j.setUp(ctx) }
func (j *journey) Address() string                                         { return "192.0.2.1" }
func (j *journey) TearDown(context.Context) error                          { return nil }

var journeys = &journey{Common: fixture.CommonDefaults()}

func init() { fixture.Register("journey", journeys) }

var errEnough = errors.New("waited long enough")

// stepsOf sets a host up by a function, whose context ends at the first step,
// and answers with the steps that people were told.
func stepsOf(t *testing.T, setUp func(context.Context) error) (steps []fixture.Step, err error) {
	t.Helper()
	t.Setenv("OVERCAST_SET", "web.journey = yes")
	journeys.setUp = setUp
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	_, err = fixture.SetUp(fixture.WithSteps(ctx, func(step fixture.Step) {
		steps = append(steps, step)
		cancel(errEnough)
	}), "web")
	return steps, err
}

func TestWaitsForMemoryAreSteps(t *testing.T) {
	wait := newMemoryWait(MemoryError{URL: "qemu:///system", Needs: 3 << 30, Free: 512 << 20, Total: 8 << 30})
	steps, err := stepsOf(t, func(ctx context.Context) error {
		for _, users := range [][]string{{"db of process 7"}, {"db of process 7"}, {}} {
			wait.short.Users = users
			wait.tell(ctx)
		}
		return context.Cause(ctx)
	})
	require.ErrorIs(t, err, errEnough)
	require.Len(t, steps, 2, "each time that it is somebody else")
	assert.Contains(t, steps[0].String(), "web: waiting for memory of qemu:///system (needs 3.0 GiB, 512 MiB of 8.0 GiB are free): db of process 7 have some, or come first after ")
	assert.Contains(t, steps[1].Detail, "no clone has any")
}

func TestWaitsForAStaticAddressAreSteps(t *testing.T) {
	dir, err := filelock.Dir()
	require.NoError(t, err)
	holder := filelock.Holder{PID: os.Getpid(), Label: "db", Detail: "another run", Since: time.Now()}
	held, err := filelock.Acquire(t.Context(), dir, "static-192.0.2.77", holder, nil)
	require.NoError(t, err)
	defer held.Release()
	steps, err := stepsOf(t, func(ctx context.Context) error {
		return newAddressClaim("web", netip.MustParseAddr("192.0.2.77")).lock(ctx, &undo{})
	})
	require.ErrorIs(t, err, fixture.ErrStaticAddressInUse)
	require.ErrorIs(t, err, errEnough)
	require.Len(t, steps, 1)
	assert.Regexp(t, `^web: waiting for static address 192\.0\.2\.77, in use since \S+ \S+ by db of process \d+ \(another run\) after `, steps[0].String())
}
