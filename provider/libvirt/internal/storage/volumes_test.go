package storage

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

func TestPoolThatIsStoppedOrRemovedMeanwhileHasNoVolumes(t *testing.T) {
	conn, err := libvirt.NewConnect("test:///default")
	require.NoError(t, err)
	defer conn.Close()
	pool, err := conn.StoragePoolDefineXML(`<pool type='dir'><name>short-lived</name><target><path>/srv/short-lived</path></target></pool>`, 0)
	require.NoError(t, err)
	defer pool.Free()
	require.NoError(t, pool.Create(0))
	created, err := pool.StorageVolCreateXML(`<volume><name>a</name><capacity>1024</capacity><backingStore><path>/b</path></backingStore></volume>`, 0)
	require.NoError(t, err)
	defer created.Free()
	found, err := volumesOf(pool)
	require.NoError(t, err)
	require.Len(t, found, 1)
	defer found[0].Free()
	names := func() (all []string) {
		require.NoError(t, ForEachVolume(conn, "short-lived", func(v *libvirt.StorageVol) {
			name, err := v.GetName()
			require.NoError(t, err)
			all = append(all, name)
		}))
		return all
	}
	assert.Equal(t, []string{"a"}, names())

	u := newUsers(nil)
	checkGone := func(when string) {
		found, err := volumesOf(pool)
		require.NoError(t, err, when)
		assert.Empty(t, found, when)
		assert.Empty(t, names(), when)
		require.NoError(t, u.readPool(conn, "short-lived"), when)
		require.NoError(t, u.readVolume(created, "short-lived"), when)
		assert.Empty(t, u.byPath, when)
	}
	require.NoError(t, pool.Destroy())
	checkGone("stopped")
	require.NoError(t, pool.Undefine())
	checkGone("removed")
}
