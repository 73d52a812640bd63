package storage

import (
	"testing"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

func TestOverlaysAreCountedByPool(t *testing.T) {
	uses := countOverlays([]domainxml.Overlay{{Pool: "a", Capacity: 5}, {Pool: "b", Capacity: 7}, {Pool: "a", Capacity: 11}})
	assert.Equal(t, []PoolUse{{Pool: "a", Overlays: 2, Capacity: 16}, {Pool: "b", Overlays: 1, Capacity: 7}}, uses)
}

func TestPoolUseWarnsIfTheOverlaysCanFillThePool(t *testing.T) {
	use := PoolUse{Pool: "default", Available: 3 << 30, Overlays: 1, Capacity: 20 << 30}
	assert.Equal(t, "pool default has 3.0 GiB free, and the overlays of one clone can grow to 20.0 GiB: a clone that fills the pool is paused: free space there, or set overlayPool to a larger pool", use.Warning())
	use.Available = use.Capacity
	assert.Empty(t, use.Warning())
	assert.Equal(t, "default (20.0 GiB free)", use.String())
}

func TestPoolWithoutRoomForTheOverlaysIsFull(t *testing.T) {
	err := &PoolFullError{PoolUse{Pool: "small", Available: 300 << 10, Overlays: 2}}
	assert.False(t, err.Use.hasRoom())
	assert.EqualError(t, err, "pool small is full: it has 0.3 MiB free, and the overlays of a clone need at least 0.5 MiB: free space there, remove clones that were kept (overcast gc), or set overlayPool to another pool")
}

// libvirt's test driver has a pool "default-pool" with 100 GiB.
func TestFreeSpaceIsReadFromLibvirt(t *testing.T) {
	conn, err := libvirt.NewConnect("test:///default")
	require.NoError(t, err)
	defer conn.Close()
	uses, err := readPoolUse(conn, []domainxml.Overlay{{Pool: "default-pool"}})
	require.NoError(t, err)
	assert.EqualValues(t, 100<<30, uses[0].Available)
	_, err = readPoolUse(conn, []domainxml.Overlay{{Pool: "missing"}})
	require.ErrorContains(t, err, "looking up pool missing")
}
