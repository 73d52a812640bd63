package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// warmInstance is an instance whose host was restored from memory, or was to be.
type warmInstance struct {
	provider.Instance
	provider.WarmStarter
	restored bool
}

func (w *warmInstance) WarmSlot() (int, bool, bool) { return 3, w.restored, true }

func TestMemoryIsDiscardedOnlyIfItMayBeToBlame(t *testing.T) {
	for name, test := range map[string]struct {
		restored bool
		err      error
		step     string
	}{
		"a login that fails":            {true, errors.New("a"), provider.StepDiscardedMemory},
		"another machine's address":     {true, provider.ErrAddressConflict, provider.StepDiscardedMemory},
		"memory that was just saved":    {false, fmt.Errorf("a: %w", provider.ErrNotRestored), provider.StepDiscardedMemory},
		"a boot that fails":             {false, errors.New("a"), ""},
		"a hypervisor that is gone":     {true, provider.ErrHypervisorNotReachable, ""},
		"a static address that is held": {true, provider.ErrStaticAddressInUse, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &Host{instance: &warmInstance{restored: test.restored}}
			step, _ := h.discardAfter(t.Context(), test.err)
			assert.Equal(t, test.step, step)
		})
	}
}

// unsaved is a machine whose memory cannot be saved.
type unsaved struct {
	readyMachine
	provider.WarmStarter
	tried  bool
	dies   error // the outage of a machine that the attempt stops
	outage error
}

func (u *unsaved) WarmSlot() (int, bool, bool) { return 3, false, true }

func (u *unsaved) SaveMemory(context.Context, time.Duration) error {
	u.tried, u.outage = true, u.dies
	return errors.New("the pool is full")
}

func (u *unsaved) Outage() (<-chan struct{}, error) { return nil, u.outage }

// savesMemory calls saveMemory for a host whose memory cannot be saved, and returns the hooks that
// have run and the steps. run runs a command of the host and returns its exit code.
func savesMemory(t *testing.T, set func(*provider.Settings), run func(ctx context.Context, command string) int) (u *unsaved, hooks, steps []string, err error) {
	t.Helper()
	u = &unsaved{}
	hooks, steps, err = savesMemoryOf(t, u, set, run)
	return u, hooks, steps, err
}

func savesMemoryOf(t *testing.T, u *unsaved, set func(*provider.Settings), run func(ctx context.Context, command string) int) (hooks, steps []string, err error) {
	t.Helper()
	var mu sync.Mutex // a command that was ended may go on
	var ran []string
	server := sshtest.Start(t, sshtest.Config{Exec: func(ctx context.Context, command string, _ sshtest.Session) int {
		if _, hook, ok := strings.Cut(command, "OVERCAST_SLOT=3 sh -c "); ok {
			mu.Lock()
			ran = append(ran, strings.Trim(hook, "'"))
			mu.Unlock()
		}
		return run(ctx, command)
	}})
	settings := provider.DefaultSettings()
	settings.Connection.URL, settings.Clock = server.URL(), provider.ClockKeep
	settings.Warm = &provider.Warm{Before: "stop app", After: "start app"}
	set(&settings)
	u.readyMachine = readyMachine{settings: settings}
	h := newHost(u)
	t.Cleanup(func() { assert.NoError(t, h.disconnect(context.Background())) })
	ctx := provider.WithReporter(t.Context(), func(step, detail string) { steps = append(steps, step+" "+detail) })
	err = h.saveMemory(ctx, time.Now())
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(ran), steps, err
}

func TestAHostThatStopsWhileItsMemoryIsSavedBootsAgain(t *testing.T) {
	hooks, steps, err := savesMemoryOf(t, &unsaved{dies: provider.ErrHostStopped}, func(*provider.Settings) {}, func(context.Context, string) int { return 0 })
	require.ErrorIs(t, err, provider.ErrNotRestored)
	require.ErrorContains(t, err, "the pool is full")
	assert.Equal(t, []string{"stop app", "sync"}, hooks)
	assert.Empty(t, steps)
}

func TestWarmAfterRunsIfTheMemoryCannotBeSaved(t *testing.T) {
	ready := func(s *provider.Settings) { s.Ready = []provider.Condition{{Cmd: "is ready"}} }
	fails := func(hook string) func(context.Context, string) int {
		return func(_ context.Context, command string) int {
			if hook != "" && strings.Contains(command, hook) {
				return 1
			}
			return 0
		}
	}
	_, hooks, steps, err := savesMemory(t, ready, fails(""))
	require.NoError(t, err)
	assert.Equal(t, []string{"stop app", "sync", "start app"}, hooks)
	assert.Equal(t, []string{"not warm: the pool is full", provider.StepReady + " "}, steps)

	_, hooks, steps, err = savesMemory(t, ready, fails("stop app"))
	require.NoError(t, err)
	assert.Equal(t, []string{"stop app", "start app"}, hooks)
	assert.Equal(t, "not warm: running warm.before: it exited with 1: ", steps[0])

	_, _, _, err = savesMemory(t, ready, fails("start app"))
	require.ErrorIs(t, err, provider.ErrNotRestored, "the host boots again")
	require.EqualError(t, err, "running warm.after: it exited with 1: ")

	_, hooks, _, err = savesMemory(t, func(s *provider.Settings) { s.Warm.Before = "" }, fails(""))
	require.NoError(t, err)
	assert.Equal(t, []string{"sync"}, hooks, "there is nothing that warm.after could reverse")
}

func TestACommandOfAWarmHostEndsAfterProvisionTimeout(t *testing.T) {
	short := func(s *provider.Settings) { s.Provision.Timeout, s.Warm.After = 100*time.Millisecond, "" }
	_, _, steps, err := savesMemory(t, short, func(ctx context.Context, command string) int {
		if strings.Contains(command, "stop app") {
			<-ctx.Done()
		}
		return 0
	})
	require.NoError(t, err)
	require.Len(t, steps, 1)
	assert.Contains(t, steps[0], "not warm: running warm.before: ")
	assert.Contains(t, steps[0], "provision.timeout of 100ms expired")
}

func TestMemoryIsNotSavedIfTheClockOfARestoredHostCouldNotBeSet(t *testing.T) {
	set := func(s *provider.Settings) { s.Clock = provider.ClockSet }
	u, hooks, steps, err := savesMemory(t, set, func(context.Context, string) int { return 1 })
	require.NoError(t, err)
	assert.False(t, u.tried)
	assert.Empty(t, hooks)
	require.Len(t, steps, 1)
	assert.Contains(t, steps[0], "not warm: setting the clock: the command date failed: ")
}
