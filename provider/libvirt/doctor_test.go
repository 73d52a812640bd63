package libvirt

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKVMMustBeAccessibleForQEMU(t *testing.T) {
	stranger, me := &virt.QEMUAccount{UID: 64999, GID: 64999}, &virt.QEMUAccount{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	device := filepath.Join(t.TempDir(), "kvm")
	require.NoError(t, os.WriteFile(device, nil, 0o600))
	for mode, may := range map[os.FileMode]bool{0o600: false, 0o660: false, 0o664: false, 0o666: true} {
		require.NoError(t, os.Chmod(device, mode))
		_, err := checkKVM(device, stranger)
		assert.Equal(t, may, err == nil, "%v", mode)
		_, err = checkKVM(device, me)
		require.NoError(t, err)
	}
	detail, err := checkKVM(filepath.Join(t.TempDir(), "none"), me)
	require.NoError(t, err)
	assert.Contains(t, detail, "guests are emulated")
	require.NoError(t, os.Chmod(device, 0o600))
	_, err = checkKVM(device, stranger)
	require.ErrorContains(t, err, "five seconds and more")
	require.ErrorContains(t, err, "usermod -aG kvm ")
}
