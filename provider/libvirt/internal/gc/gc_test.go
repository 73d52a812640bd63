package gc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"
)

// Owners that have ended, that are alive, and that cannot be seen from here.
var (
	gone    = owner.Process{Machine: owner.Self().Machine, PID: 1 << 30, Started: 1}
	alive   = owner.Self()
	unknown = owner.Process{Machine: "ffffffffffffffffffffffffffffffff", PID: 1, Started: 1}
)

func testDriver(t *testing.T) *libvirt.Connect {
	t.Helper()
	conn, err := libvirt.NewConnect("test:///default")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// createVolume creates a volume in the pool of libvirt's test driver.
func createVolume(t *testing.T, conn *libvirt.Connect, name string, allocation uint64) {
	t.Helper()
	pool, err := conn.LookupStoragePoolByName("default-pool")
	require.NoError(t, err)
	defer pool.Free()
	volume, err := pool.StorageVolCreateXML(fmt.Sprintf(`<volume><name>%s</name><capacity>10485760</capacity><allocation>%d</allocation></volume>`, name, allocation), 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = volume.Delete(0); _ = volume.Free() })
}

// createClone starts a domain with metadata in libvirt's test driver.
func createClone(t *testing.T, conn *libvirt.Connect, by owner.Process, change func(*owner.Metadata)) (name string) {
	t.Helper()
	m := owner.NewMetadata(owner.NewName("web", by), "base", "web", time.Hour)
	m.SetOwner(by)
	change(m)
	domain, err := conn.DomainCreateXML(fmt.Sprintf(`<domain type='test'><name>%s</name><metadata>%s</metadata><memory>8192</memory><os><type>hvm</type></os></domain>`, m.Name, m.XML()), 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = domain.Destroy(); _ = domain.Free() })
	return m.Name
}

func TestDomainsAreRemovedWhenTheirOwnersHaveEnded(t *testing.T) {
	conn := testDriver(t)
	expired := func(m *owner.Metadata) { m.Lease.Renewed = time.Now().Add(-48 * time.Hour) }
	late := func(m *owner.Metadata) { m.Lease.Renewed = time.Now().Add(-2 * time.Hour) }
	kept := func(m *owner.Metadata) { m.Kept = &owner.MetadataKept{Since: time.Now()} }
	same := func(*owner.Metadata) {}
	for name, test := range map[string]struct {
		by     owner.Process
		change func(*owner.Metadata)
		skip   string // "" if it is removed
	}{
		"of this process":             {alive, expired, "its owner is alive"},
		"of a process that has ended": {gone, same, ""},
		"of a process out of sight":   {unknown, same, "its owner may be alive: lease of 3600 s renewed at "},
		"with an expired lease":       {unknown, expired, ""},
		"by another machine's clock":  {unknown, late, "its owner may be alive: lease of 3600 s renewed at "},
		"kept for inspection":         {gone, kept, "kept for inspection"},
	} {
		t.Run(name, func(t *testing.T) {
			clone := createClone(t, conn, test.by, test.change)
			found, err := List(t.Context(), conn, Options{})
			require.NoError(t, err)
			n := slices.IndexFunc(found, func(r Resource) bool { return r.Name == clone })
			require.GreaterOrEqual(t, n, 0)
			if test.skip == "" {
				assert.Empty(t, found[n].SkipReason)
			} else {
				assert.Contains(t, found[n].SkipReason, test.skip)
			}
		})
	}
	clone := createClone(t, conn, gone, kept)
	removed, err := Collect(t.Context(), conn, Options{Kept: true, DryRun: true})
	require.NoError(t, err)
	require.Len(t, removed, 1)
	assert.Equal(t, clone, removed[0].Name)
	removed, err = Collect(t.Context(), conn, Options{Kept: true})
	require.NoError(t, err)
	require.Len(t, removed, 1)
	_, err = conn.LookupDomainByName(clone)
	require.Error(t, err, "it was removed")
}

func TestNothingIsRemovedAfterTheContextHasEnded(t *testing.T) {
	conn := testDriver(t)
	createClone(t, conn, gone, func(*owner.Metadata) {})
	ended, end := context.WithCancel(t.Context())
	end()
	removed, err := Collect(ended, conn, Options{})
	require.EqualError(t, err, "context canceled", "no removal was begun")
	assert.Empty(t, removed)
}

func TestOnlyWhatAProcessCreatedIsRemovedForIt(t *testing.T) {
	conn := testDriver(t)
	other := gone
	other.Started++
	kept := func(m *owner.Metadata) { m.Kept = &owner.MetadataKept{Since: time.Now()} }
	same := func(*owner.Metadata) {}
	clone := createClone(t, conn, gone, same)
	for _, stays := range []struct {
		by     owner.Process
		change func(*owner.Metadata)
	}{{gone, kept}, {other, same}, {alive, same}} {
		createClone(t, conn, stays.by, stays.change)
	}
	createVolume(t, conn, owner.NewName("web", gone)+"-vda.qcow2", 100<<10)
	createVolume(t, conn, owner.NewName("web", other)+"-vda.qcow2", 100<<10)
	removed, err := Collect(t.Context(), conn, Options{Owner: &gone})
	require.NoError(t, err)
	require.Len(t, removed, 2, "a domain and a volume")
	assert.Equal(t, clone, removed[0].Name)
	assert.False(t, Options{Owner: &gone}.Removes(Resource{Kind: "domain", Name: "overcast-layer-0123456789ab"}), "its name has no process")
	assert.True(t, Options{Owner: &gone}.Removes(Resource{Kind: KindFolder, Name: "/var/tmp/" + owner.NewName("web", gone) + "-fs0"}))
}

func TestVolumesWithoutADomainMayBelongToAnotherHypervisor(t *testing.T) {
	conn := testDriver(t)
	empty, written := owner.NewName("empty", gone)+"-vda.qcow2", owner.NewName("written", gone)+"-vda.qcow2"
	createVolume(t, conn, empty, 196<<10)
	createVolume(t, conn, written, 5<<20)
	removed, err := Collect(t.Context(), conn, Options{})
	require.NoError(t, err)
	require.Len(t, removed, 1, "an overlay without content")
	assert.Equal(t, empty, removed[0].Name)
	found, err := List(t.Context(), conn, Options{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "a domain of another hypervisor may use it: changed within the last 24h0m0s", found[0].SkipReason)
}

func TestVolumeThatQEMUHasOpenIsNotRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overlay.qcow2")
	require.NoError(t, os.WriteFile(path, make([]byte, 1<<20), 0o600))
	now := time.Now()
	assert.Empty(t, skipWithoutDomain(path, now, 1<<20, true, now), "no process has it open")
	assert.NotEmpty(t, skipWithoutDomain(path, now, 1<<20, false, now), "on another machine that cannot be seen")
	assert.Empty(t, skipWithoutDomain(path, now.Add(-25*time.Hour), 1<<20, false, now))
	assert.Empty(t, skipWithoutDomain(path, now, 196<<10, false, now), "an overlay without content")

	image, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer image.Close()
	// QEMU holds shared locks on single bytes.
	require.NoError(t, unix.FcntlFlock(image.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: 201, Len: 1}))
	assert.Equal(t, "a QEMU process has it open", skipWithoutDomain(path, now, 196<<10, true, now))
}

func TestVolumesOfEndedOwnersStayWhileSomethingThatStaysUsesThem(t *testing.T) {
	conn := testDriver(t)
	layer := owner.NewName("layer-1", gone) + "-vda.qcow2"
	createVolume(t, conn, layer, 100<<10)
	use := func(by owner.Process) (clone string, remove func()) {
		m := owner.NewMetadata(owner.NewName("web", by), "base", "web", time.Hour)
		m.SetOwner(by)
		domain, err := conn.DomainCreateXML(fmt.Sprintf(`<domain type='test'><name>%s</name><metadata>%s</metadata><memory>8192</memory><os><type>hvm</type></os>
			<devices><disk type='file' device='disk'><source file='/default-pool/%s'/><target dev='vda'/></disk></devices></domain>`, m.Name, m.XML(), layer), 0)
		require.NoError(t, err)
		return m.Name, func() { _ = domain.Destroy(); _ = domain.Free() }
	}
	skipReason := func(options Options) string {
		found, err := List(t.Context(), conn, options)
		require.NoError(t, err)
		n := slices.IndexFunc(found, func(r Resource) bool { return r.Name == layer })
		require.GreaterOrEqual(t, n, 0)
		return found[n].SkipReason
	}
	assert.Empty(t, skipReason(Options{}))
	clone, remove := use(alive)
	assert.Equal(t, fmt.Sprintf("used by domain %q", clone), skipReason(Options{}))
	remove()
	clone, remove = use(gone)
	defer remove()
	assert.Empty(t, skipReason(Options{}), "its user is removed, too")
	assert.Equal(t, fmt.Sprintf("used by domain %q", clone), skipReason(Options{Label: "layer-1"}), "its user has another label")
}

func TestUnlinkedFilesOfARunningCloneExistWhileItIsRemoved(t *testing.T) {
	conn := testDriver(t)
	m := owner.NewMetadata(owner.NewName("web", gone), "base", "web", time.Hour)
	m.SetOwner(gone)
	volume, base := m.Name+"-vda.qcow2", owner.NewName("base", gone)+"-vda.qcow2"
	domain, err := conn.DomainCreateXML(fmt.Sprintf(`<domain type='test'><name>%s</name><metadata>%s</metadata><memory>8192</memory><os><type>hvm</type></os><devices>
		<disk type='file' device='disk'><source file='/default-pool/%s'/><target dev='vda'/></disk>
		<disk type='file' device='disk'><source file='/default-pool/%s'/><target dev='vdb'/></disk>
		<disk type='file' device='disk'><source file='/elsewhere/%[3]s'/><target dev='vdc'/></disk>
		<disk type='file' device='cdrom'><target dev='sda'/></disk></devices></domain>`, m.Name, m.XML(), volume, base), 0)
	require.NoError(t, err)
	defer domain.Free()
	created := replaceUnlinked(conn, m.Name)
	assert.Equal(t, []storage.VolumeRef{{Pool: "default-pool", Name: volume}}, created)
	assert.Empty(t, replaceUnlinked(conn, m.Name), "it exists")
	require.NoError(t, storage.DeleteVolume(conn, "default-pool", volume))

	removed, err := Collect(t.Context(), conn, Options{})
	require.NoError(t, err)
	require.Len(t, removed, 1)
	found, err := listVolumesIn(conn, "default-pool")
	require.NoError(t, err)
	assert.Empty(t, found)
}

func TestVolumesThatAreSkippedKeepWhatTheyUse(t *testing.T) {
	conn := testDriver(t)
	names := map[string]string{}
	for _, name := range []string{"bottom", "middle", "top"} {
		names[name] = owner.NewName(name, gone) + "-vda.qcow2"
		createVolume(t, conn, names[name], 100<<10)
	}
	pool, err := conn.LookupStoragePoolByName("default-pool")
	require.NoError(t, err)
	defer pool.Free()
	for used, by := range map[string]string{"bottom": "middle", "middle": "top"} {
		volume, err := pool.LookupStorageVolByName(names[by])
		require.NoError(t, err)
		require.NoError(t, volume.Delete(0))
		require.NoError(t, volume.Free())
		volume, err = pool.StorageVolCreateXML(fmt.Sprintf(`<volume><name>%s</name><capacity>10485760</capacity><backingStore><path>/default-pool/%s</path></backingStore></volume>`, names[by], names[used]), 0)
		require.NoError(t, err)
		require.NoError(t, volume.Free())
	}
	text := fmt.Sprintf(`<domain type='test'><name>mine</name><memory>8192</memory><os><type>hvm</type></os><devices><disk type='file' device='disk'><source file='/default-pool/%s'/><target dev='vda'/></disk></devices></domain>`, names["top"])
	domain, err := conn.DomainCreateXML(text, 0)
	require.NoError(t, err)
	defer func() { _ = domain.Destroy(); _ = domain.Free() }()
	removed, err := Collect(t.Context(), conn, Options{DryRun: true})
	require.NoError(t, err)
	assert.Empty(t, removed)
}

func TestVolumesFollowTheirDomains(t *testing.T) {
	domains := []listed{{Resource: Resource{Name: "clone", SkipReason: "kept for inspection", Kept: true}}}
	v := listed{clone: "clone"}
	v.followDomain(domains)
	assert.Equal(t, "kept for inspection", v.SkipReason)
	assert.True(t, v.hasDomain)
	other := listed{clone: "another"}
	other.followDomain(domains)
	assert.False(t, other.hasDomain)
}

func TestTemporaryPoolsAreRemovedWhenTheyAreStale(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		by      owner.Process
		created time.Time
		skip    string
	}{
		"of this process":                {alive, now.Add(-2 * time.Hour), "its owner is alive"},
		"of a process that has ended":    {gone, now, ""},
		"of a process out of sight":      {unknown, now.Add(-time.Minute), "its owner may be alive"},
		"old, of a process out of sight": {unknown, now.Add(-2 * time.Hour), ""},
		"without the time of creation":   {unknown, time.Time{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pool := owner.NewName("web", test.by) + "-look1"
			if !test.created.IsZero() {
				pool += fmt.Sprintf("-%d", test.created.Unix())
			}
			made, ok := owner.ParseName(pool)
			require.True(t, ok)
			assert.Equal(t, test.skip, judgePool(pool, made, now).SkipReason)
		})
	}
}

func TestLeftoverTemporaryPoolsAreCollected(t *testing.T) {
	conn := testDriver(t)
	left, err := conn.StoragePoolCreateXML(`<pool type='dir'><name>`+owner.NewName("web", gone)+`-look1</name><target><path>/srv/data</path></target></pool>`, 0)
	require.NoError(t, err)
	defer left.Free()
	found, err := List(t.Context(), conn, Options{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Empty(t, found[0].SkipReason)
	removed, err := Collect(t.Context(), conn, Options{})
	require.NoError(t, err)
	require.Len(t, removed, 1)
	pools, err := storage.AllFilePools(conn)
	require.NoError(t, err)
	for _, p := range pools {
		assert.NotEqual(t, found[0].Name, p.Name)
	}
}
