package transfer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/internal/sshclient/transfer"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTransfersCountAsSessions(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{MaxSessions: 2})
	c := connect(t, server.URL())
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			name := fmt.Sprintf("copy-%d", i)
			assert.NoError(t, transfer.Upload(t.Context(), c, "transfer_test.go", name))
			assert.NoError(t, transfer.Download(t.Context(), c, name, filepath.Join(t.TempDir(), name)))
		})
	}
	all.Wait()
	assert.LessOrEqual(t, server.Logins(), 9)
}

func TestOpenSSHUploadToAFullDisk(t *testing.T) {
	server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{})
	if server.SmallDir == "" {
		t.Skip("only root can make a small file system")
	}
	local := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(local, make([]byte, 1<<20), 0o600))
	remote := filepath.Join(server.SmallDir, "copy")
	for _, user := range server.Users {
		c := connect(t, server.URL(user))
		err := transfer.Upload(t.Context(), c, local, remote)
		require.ErrorIs(t, err, syscall.ENOSPC)
		assert.Regexp(t, `^uploading `+local+` to `+remote+` on `+user+`@127.0.0.1:\d+: writing `+remote+`: no space left on device \(\d+ bytes are free\)$`, err.Error())
		run(t, c, "rm "+remote)
	}
	c := connect(t, server.URL("root"))
	run(t, c, "mount -o remount,ro "+server.SmallDir)
	require.ErrorIs(t, transfer.Upload(t.Context(), c, local, remote), syscall.EROFS)
	require.ErrorIs(t, transfer.Upload(t.Context(), c, filepath.Dir(local), remote), syscall.EROFS)
}
