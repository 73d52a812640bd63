package libvirt

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// testDriver connects to a hypervisor of libvirt's test driver with a running domain,
// "test", which no other test sees.
func testDriver(t *testing.T) *virt.Connection {
	t.Helper()
	on, release, err := virt.NewConnections().Acquire(t.Context(), testNode(t, testDomain("test", 1, "")))
	require.NoError(t, err)
	t.Cleanup(release)
	return on
}

func TestStartContinuesInTheBackgroundAfterTheTimeout(t *testing.T) {
	on := testDriver(t)
	i := &instance{label: "late", config: config{StartTimeout: time.Millisecond}, undo: &storage.Undo{}}
	goOn := make(chan struct{})
	launched := make(chan struct{})
	c := &domainxml.Clone{Name: "overcast-late"}
	err := i.createAndStart(t.Context(), on, c, func(context.Context, *libvirt.Connect, *domainxml.Clone, *virt.DomainWatcher) error {
		<-goOn
		return nil
	}, func() { close(launched) })
	defer i.stopWatching()
	require.EqualError(t, err, "starting domain overcast-late: libvirtStartTimeout of 1ms expired, and libvirt has not created the domain yet: raise libvirtStartTimeout, or check the hypervisor's load and QEMU's log")

	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorContains(t, i.undo.Run(ended, on.Conn), "context canceled", "it may still come up")
	select {
	case <-launched:
		assert.Fail(t, "its memory was released, and the domain may still appear")
	default:
	}
	close(goOn)
	<-launched
	require.NoError(t, i.undo.Run(t.Context(), on.Conn))
}

// Only the restored clone is the fault of the cache: without the memory, the set-up goes on.
func TestMemoryThatIsReadForTooLongIsNotRestored(t *testing.T) {
	on := testDriver(t)
	for _, found := range []*layers.Layer{nil, {Metadata: layers.Metadata{Warm: &layers.Warm{}}}} {
		i := &instance{label: "slow", config: config{StartTimeout: time.Millisecond}, undo: &storage.Undo{}, warm: warmUse{found: found}}
		end := make(chan struct{})
		err := i.createAndStart(t.Context(), on, &domainxml.Clone{Name: "overcast-slow"}, func(context.Context, *libvirt.Connect, *domainxml.Clone, *virt.DomainWatcher) error {
			<-end
			return nil
		}, func() {})
		i.stopWatching()
		require.ErrorContains(t, err, "libvirtStartTimeout of 1ms expired")
		assert.Equal(t, found != nil, errors.Is(err, provider.ErrNotRestored))
		close(end)
		require.NoError(t, i.undo.Run(t.Context(), on.Conn))
	}
}

// libvirt goes on reading a save image after a timeout, until its domain is stopped.
func TestARestoreThatTakesTooLongEndsWhenItIsUndone(t *testing.T) {
	on := testDriver(t)
	slot := &layers.Layer{Metadata: layers.Metadata{Warm: &layers.Warm{}}}
	i := &instance{label: "slow", config: config{StartTimeout: time.Millisecond}, undo: &storage.Undo{}, warm: warmUse{found: slot, image: true}}
	err := i.createAndStart(t.Context(), on, &domainxml.Clone{Name: "overcast-slow"}, func(_ context.Context, conn *libvirt.Connect, c *domainxml.Clone, _ *virt.DomainWatcher) error {
		domain, err := conn.DomainCreateXML(`<domain type='test'><name>`+c.Name+`</name><memory>1024</memory><os><type>hvm</type></os></domain>`, 0)
		if err != nil {
			return err
		}
		defer domain.Free()
		for active := true; active && err == nil; {
			active, err = domain.IsActive()
		}
		return errors.New("its domain was stopped")
	}, func() {})
	i.stopWatching()
	require.ErrorIs(t, err, provider.ErrNotRestored)
	undoing, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, i.undo.Run(undoing, on.Conn))
}

// Its files are replaced before libvirt stops it.
func TestADomainThatWasRestoredIsNotStoppedToEndItsLaunch(t *testing.T) {
	on := testDriver(t)
	slot := &layers.Layer{Metadata: layers.Metadata{Warm: &layers.Warm{}}}
	i := &instance{label: "web", undo: &storage.Undo{}, warm: warmUse{found: slot, image: true}}
	launching := virt.Async(func() error { return nil })
	require.True(t, i.endLaunch(t.Context(), on.Conn, &domainxml.Clone{Name: "test"}, launching))
	state, _, err := virt.StateOf(on.Conn, "test")
	require.NoError(t, err)
	assert.Equal(t, libvirt.DOMAIN_RUNNING, state)
}

func TestAPlanThatFailsLeavesNoEarlierOne(t *testing.T) {
	i := &instance{label: "web", undo: &storage.Undo{}, pool: virt.NewConnections(), plan: &domainxml.Clone{}}
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, i.makePlan(ended, testDriver(t)), context.Canceled)
	assert.Nil(t, i.plan, "it may be the plan of a host that is not provisioned")
}

func TestFailedCloneReleasesItsMemory(t *testing.T) {
	i := &instance{undo: &storage.Undo{}}
	ended, end := context.WithCancel(t.Context())
	end()
	launched := 0
	err := i.createAndStart(ended, testDriver(t), &domainxml.Clone{Overlays: make([]domainxml.Overlay, 1)}, i.launch, func() { launched++ })
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, launched)
}

func TestStateInErrorMessages(t *testing.T) {
	on := testDriver(t)
	assert.Equal(t, "the domain is running", stateNow(t.Context(), on.Conn, "test"))
	assert.Equal(t, "libvirt has not created the domain yet", stateNow(t.Context(), on.Conn, "absent"))
	ended, end := context.WithCancel(t.Context())
	end()
	assert.Contains(t, []string{"the domain is running", "the domain's state is unknown: libvirt has not answered: context canceled"}, stateNow(ended, on.Conn, "test"))
}

// The set-up may wait for an address and for memory for longer than a lease lasts.
func TestTheLeaseOfACloneStartsWhenItIsCreated(t *testing.T) {
	on := testDriver(t)
	i := &instance{label: "web", config: config{BaseDomain: "base", OwnerLease: time.Minute}, undo: &storage.Undo{}}
	definition := &libvirtxml.Domain{}
	require.NoError(t, definition.Unmarshal(`<domain type='test'><name>overcast-web-lease</name><memory>8192</memory><os><type>hvm</type></os></domain>`))
	c := &domainxml.Clone{Name: "overcast-web-lease", Definition: definition}
	c.SetMetadata(owner.NewMetadata(c.Name, "base", "web", time.Minute).XML())
	planned := owner.ParseMetadata(c.Name, c.Definition.Metadata.XML).Lease.Renewed
	for !time.Now().Truncate(time.Second).After(planned) { // stamps have seconds
		time.Sleep(10 * time.Millisecond)
	}
	_, err := i.createPaused(t.Context(), on.Conn, c)
	require.True(t, virt.IsCode(err, libvirt.ERR_INVALID_ARG), "libvirt's test driver starts no domain paused: %v", err)
	created := owner.ParseMetadata(c.Name, c.Definition.Metadata.XML)
	assert.True(t, created.Lease.Renewed.After(planned))
}
