package sshurl

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCommandIsWhatAPersonTypes(t *testing.T) {
	for _, test := range []struct {
		url, via string
		isNew    bool
		want     string
	}{
		{"ssh://root:sesame@10.0.0.7?privateKeyFile=/k&passphrase=sesame", "", true, "ssh -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -i /k root@10.0.0.7"},
		{"ssh://[fe80::1%25eth0]:23", "", false, "ssh -p 23 fe80::1%eth0"},
		{"ssh://root@10.0.0.7", "ssh://me@far:24", false, "ssh -J me@far:24 root@10.0.0.7"},
		{"ssh://root@10.0.0.7?privateKeyFile=/it's%20a%20key", "", false, `ssh -i '/it'\''s a key' root@10.0.0.7`},
	} {
		target, err := ParseURL(test.url)
		require.NoError(t, err)
		var via *Target
		if test.via != "" {
			jump, err := ParseURL(test.via)
			require.NoError(t, err)
			via = &jump
		}
		assert.Equal(t, test.want, Command(target, via, test.isNew))
	}
}
