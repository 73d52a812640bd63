package virt

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestURLsWithAPasswordAreRefusedBeforeDialling(t *testing.T) {
	for name, url := range map[string]string{
		"ssh":         "qemu+ssh://root:s3cret@127.0.0.1/system",
		"libssh":      "qemu+libssh2://root:s3cret@127.0.0.1:22/system",
		"slash":       "qemu+ssh://root:s3cret/more@127.0.0.1/system",
		"encoded":     "qemu+ssh://root:s3cret%20x@127.0.0.1/system",
		"other":       "qemu+tcp://root:s3cret@127.0.0.1/system",
		"driver":      "test://root:s3cret@/default",
		"parameter":   "qemu+ssh://root@127.0.0.1/system?no_verify=1&password=s3cret",
		"passphrase":  "qemu+ssh://root@127.0.0.1/system?passphrase=s3cret",
		"unparseable": "qemu+ssh://root:s3cret@host:bad/system",
	} {
		t.Run(name, func(t *testing.T) {
			pool := NewConnections()
			_, _, err := pool.Acquire(t.Context(), url)
			var e *ConnectError
			require.ErrorAs(t, err, &e)
			require.ErrorIs(t, err, ErrPassword)
			assert.Contains(t, err.Error(), "keyfile=")
			assert.NotContains(t, err.Error(), "s3cret")
			assert.Empty(t, pool.open, "nothing was dialled")
		})
	}
}

func TestURLsWithoutAPasswordAreAccepted(t *testing.T) {
	for _, url := range []string{
		"qemu:///system", "test:///default", "qemu+ssh://root@host/system", "qemu+ssh://root@[::1]:22/system",
		"qemu+ssh://host:22/system?keyfile=/a:b@c", "qemu+unix:///system?socket=/run/a@b:c", "qemu+ssh://host:22/system?no_verify=1&socket=/a@b", "qemu+ssh://host:bad/system", "lxc:///", "",
	} {
		assert.NoError(t, CheckPassword(url), url)
	}
}
