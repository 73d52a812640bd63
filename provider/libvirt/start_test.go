package libvirt

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

// testDriver is libvirt's own, which has one domain, "test", that runs.
func testDriver(t *testing.T) *connection {
	t.Helper()
	on, release, err := newConnections().acquire(t.Context(), "test:///default")
	require.NoError(t, err)
	t.Cleanup(release)
	return on
}

func TestStartsThatAreLateGoOnBehindTheScenes(t *testing.T) {
	on := testDriver(t)
	i := &instance{label: "late", config: config{StartTimeout: time.Millisecond}, undo: &undo{}}
	goOn := make(chan struct{})
	launched := make(chan struct{})
	c := &clone{name: "overcast-late"}
	err := i.bringUp(t.Context(), on, c, func(context.Context, *libvirt.Connect, *clone, *domainWatcher) error {
		<-goOn
		return nil
	}, func() { close(launched) })
	defer i.stopWatching()
	require.EqualError(t, err, "starting domain overcast-late: libvirtStartTimeout of 1ms expired, and libvirt has not made the domain yet: raise libvirtStartTimeout, or check the hypervisor's load and QEMU's log")

	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorContains(t, i.undo.run(ended, on.conn), "context canceled", "it may still come up")
	select {
	case <-launched:
		assert.Fail(t, "its memory is promised to somebody else, and it may still come up")
	default:
	}
	close(goOn)
	<-launched
	require.NoError(t, i.undo.run(t.Context(), on.conn))
}

func TestClonesThatCannotBeMadeNeedNoMemory(t *testing.T) {
	i := &instance{undo: &undo{}}
	ended, end := context.WithCancel(t.Context())
	end()
	launched := 0
	err := i.bringUp(ended, testDriver(t), &clone{overlays: make([]overlay, 1)}, i.launch, func() { launched++ })
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, launched)
}

func TestStateForPeople(t *testing.T) {
	on := testDriver(t)
	assert.Equal(t, "the domain is running", stateNow(t.Context(), on.conn, "test"))
	assert.Equal(t, "libvirt has not made the domain yet", stateNow(t.Context(), on.conn, "nobody"))
	ended, end := context.WithCancel(t.Context())
	end()
	assert.Contains(t, []string{"the domain is running", "the domain's state is unknown: libvirt has not answered: context canceled"}, stateNow(ended, on.conn, "test"))
}
