package host

import (
	"net/url"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckOfTheLoginAllowsTheKeyThatTheFirstSetUpGenerates(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir, err := cloudinit.DefaultKeyDir()
	require.NoError(t, err)
	login, err := checkKeyFile(t.Context(), "ssh://admin@{0}?privateKeyFile="+url.QueryEscape(cloudinit.LoginKeyPath(dir)))
	require.NoError(t, err)
	assert.Equal(t, "admin, with a key that the first set-up generates", login)

	_, err = checkKeyFile(t.Context(), "ssh://admin@{0}?privateKeyFile="+url.QueryEscape(filepath.Join(dir, "other")))
	assert.ErrorContains(t, err, "does not exist")
}
