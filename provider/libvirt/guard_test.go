package libvirt

import (
	"fmt"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

func TestClonesThatLibvirtdRemovesCompletelyHaveNoGuard(t *testing.T) {
	for name, test := range map[string]struct {
		settings provider.Settings
		overlay  string
		env      string // OVERCAST_KEEP
		needs    bool
	}{
		"unlinked":                         {provider.Settings{Keep: provider.KeepNever}, overlayUnlinked, "", false},
		"with files":                       {provider.Settings{Keep: provider.KeepNever}, overlayFile, "", true},
		"kept on failure":                  {provider.Settings{Keep: provider.KeepOnFailure}, overlayUnlinked, "", true},
		"kept by OVERCAST_KEEP":            {provider.Settings{Keep: provider.KeepNever}, overlayUnlinked, provider.KeepAlways, true},
		"not kept because of the variable": {provider.Settings{Keep: provider.KeepAlways}, overlayUnlinked, provider.KeepNever, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OVERCAST_KEEP", test.env)
			i := &instance{config: config{Settings: test.settings, Overlay: test.overlay}, pool: virt.NewConnections(), undo: &storage.Undo{}}
			i.guardClone(t.Context())
			assert.Equal(t, test.needs, i.unguard != nil)
			require.NoError(t, i.TearDown(t.Context()))
			assert.Nil(t, i.unguard, "the teardown ends it")
		})
	}
}

func TestAGuardRemovesWhatItsParentHasLeft(t *testing.T) {
	const url = "test:///default" // shared by the connections of a process
	conn, err := libvirt.NewConnect(url)
	require.NoError(t, err)
	defer conn.Close()
	gone := owner.Process{Machine: owner.Self().Machine, PID: 1 << 30, Started: 1}
	other := gone
	other.Started = 2
	left := createClone(t, conn, gone, nil)
	stay := map[string]string{
		createClone(t, conn, other, nil):                                   "it is of another process",
		createClone(t, conn, gone, &owner.MetadataKept{Since: time.Now()}): "it was kept for inspection",
	}
	line, err := newEstate(gone, url)
	require.NoError(t, err)
	cleanUpAfter(t.Context(), []string{line, "of another version"})
	_, err = conn.LookupDomainByName(left)
	assert.True(t, virt.IsCode(err, libvirt.ERR_NO_DOMAIN))
	for name, why := range stay {
		found, err := conn.LookupDomainByName(name)
		require.NoError(t, err, why)
		require.NoError(t, found.Destroy())
		require.NoError(t, found.Free())
	}
}

// createClone starts a domain with metadata in libvirt's test driver.
func createClone(t *testing.T, conn *libvirt.Connect, by owner.Process, kept *owner.MetadataKept) (name string) {
	t.Helper()
	m := owner.NewMetadata(owner.NewName("web", by), "base", "web", time.Hour)
	m.SetOwner(by)
	m.Kept = kept
	domain, err := conn.DomainCreateXML(fmt.Sprintf(`<domain type='test'><name>%s</name><metadata>%s</metadata><memory>8192</memory><os><type>hvm</type></os></domain>`, m.Name, m.XML()), 0)
	require.NoError(t, err)
	require.NoError(t, domain.Free())
	return m.Name
}
