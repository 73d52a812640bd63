package libvirt

import (
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhoMayOpenKVM(t *testing.T) {
	me, err := user.Current()
	require.NoError(t, err)
	stranger := &user.User{Uid: "64999", Gid: "64999", Username: "stranger"}
	device := filepath.Join(t.TempDir(), "kvm")
	require.NoError(t, os.WriteFile(device, nil, 0o600))
	for mode, may := range map[os.FileMode]bool{0o600: false, 0o660: false, 0o664: false, 0o666: true} {
		require.NoError(t, os.Chmod(device, mode))
		info, err := os.Stat(device)
		require.NoError(t, err)
		assert.Equal(t, may, mayOpen(info, stranger), "%v", mode)
		assert.True(t, mayOpen(info, me))
	}
	seen, err := checkKVM(filepath.Join(t.TempDir(), "none"), me.Username)
	require.NoError(t, err)
	assert.Contains(t, seen, "guests are emulated")
	require.NoError(t, os.Chmod(device, 0o600))
	_, err = checkKVM(device, "nobody")
	require.ErrorContains(t, err, "five seconds and more")
	require.ErrorContains(t, err, "usermod -aG kvm nobody")
}
