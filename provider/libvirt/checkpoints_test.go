package libvirt

import (
	"context"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

// watched returns the checkpoints of the domain "test" and its watcher.
func watched(t *testing.T) (*checkpoints, *virt.DomainWatcher) {
	t.Helper()
	on := testDriver(t)
	w := virt.NewDomainWatcher(on, "test", virt.DomainState{Phase: virt.PhaseUnknown})
	t.Cleanup(w.Close)
	require.NoError(t, w.ReadState(on.Conn))
	return &checkpoints{on: on, watcher: w}, w
}

func TestADomainWhoseFreezeWasCancelledRunsAfterThaw(t *testing.T) {
	c, w := watched(t)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := c.Freeze(ended); err != nil { // the domain may be paused at once
		require.ErrorIs(t, err, context.Canceled)
	}
	require.NoError(t, c.Thaw(t.Context()))
	state, _, err := virt.StateOf(c.on.Conn, "test")
	require.NoError(t, err)
	assert.Equal(t, libvirt.DOMAIN_RUNNING, state)
	_, outage := w.Outage()
	require.NoError(t, outage)
}

func TestACallOfCheckpointsEndsWithTheConnection(t *testing.T) {
	c, _ := watched(t)
	end := make(chan struct{})
	defer close(end)
	err := c.call(t.Context(), "saving the state of", func(*libvirt.Domain) error {
		c.on.Keepalive.MarkLost("it has not answered for 10 seconds")
		<-end
		return nil
	})
	require.ErrorIs(t, err, provider.ErrHypervisorNotReachable)
}

func TestAGuestIsShutDownOverTheConnectionOfItsWatcher(t *testing.T) {
	c, w := watched(t)
	i := &instance{label: "web", undo: &storage.Undo{}} // libvirtd has restarted: it has no connection
	i.setWatcher(w)
	i.shutDown(t.Context(), time.Minute)
	state, _, err := virt.StateOf(c.on.Conn, "test")
	require.NoError(t, err)
	assert.Equal(t, libvirt.DOMAIN_SHUTOFF, state)
}
