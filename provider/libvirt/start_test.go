package libvirt

import (
	"context"
	"testing"
	"time"

	"github.com/overcast-go/overcast/fixture"
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

func TestStartsThatAreLateTellTheStateAndTheKey(t *testing.T) {
	on := testDriver(t)
	common := fixture.CommonDefaults()
	common.Keep = fixture.KeepAlways // the driver knows no autodestroy
	i := &instance{label: "late", config: Config{Common: common, Overlay: overlayFile, StartTimeout: -time.Second}, undo: &undo{}}
	b := base(t, fileDisk)
	b.Type, b.OS.Type.Arch = "test", "i686"
	c, err := planClone(b, plan{label: i.label, cache: "unsafe"})
	require.NoError(t, err)
	g := newGuard(on, c.name)
	defer g.close()
	err = i.start(t.Context(), on.conn, c, g)
	assert.Regexp(t, `^libvirtStartTimeout of -1s is over, and (the domain is paused|libvirt has not made the domain yet): raise libvirtStartTimeout`, err)
	require.NoError(t, i.undo.run(t.Context(), on.conn))
	_, err = on.conn.LookupDomainByName(c.name)
	assert.True(t, isCode(err, libvirt.ERR_NO_DOMAIN), "%v", err)
}

func TestStateForPeople(t *testing.T) {
	on := testDriver(t)
	assert.Equal(t, "the domain is running", stateNow(t.Context(), on.conn, "test"))
	assert.Equal(t, "libvirt has not made the domain yet", stateNow(t.Context(), on.conn, "nobody"))
	ended, end := context.WithCancel(t.Context())
	end()
	assert.Contains(t, []string{"the domain is running", "the domain's state is unknown: libvirt has not answered: context canceled"}, stateNow(ended, on.conn, "test"))
}
