package sshconfig_test

import (
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoginNameIsThatOfTheSSHCommand(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	require.NoError(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte("Host box\n  User configured\n"), 0o600))
	me, err := user.Current()
	require.NoError(t, err)
	for url, want := range map[string]string{
		"ssh://named:sesame@box": "named",
		"ssh://box":              "configured",
		"ssh://elsewhere":        me.Username,
	} {
		target, err := sshurl.ParseURL(url)
		require.NoError(t, err)
		name, err := sshconfig.LoginName(target)
		require.NoError(t, err)
		assert.Equal(t, want, name)
	}
}
