package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRecipeDependsOnWhatProvisioningDoes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("one"), 0o600))
	recipe := func(p provider.Provision) string {
		text, err := recipeOf(t.Context(), p)
		require.NoError(t, err)
		return text
	}
	what := provider.Provision{Cmd: "a", Copy: []string{dir, "/srv"}, ExpirationTag: provider.ExpirationTag{Cmd: "echo; echo tag "}}
	first := recipe(what)
	assert.Equal(t, first, recipe(what))
	other := what
	other.Cmd = "b"
	assert.NotEqual(t, first, recipe(other))
	other = what
	other.ExpirationTag.Cmd = "printf tag"
	assert.Equal(t, first, recipe(other), "the tag is trimmed")
	other.ExpirationTag.Cmd = "echo another"
	assert.NotEqual(t, first, recipe(other))
	require.NoError(t, os.WriteFile(file, []byte("two"), 0o600))
	assert.NotEqual(t, first, recipe(what), "the content of a copied file")
}

func TestTagCommandThatFailsOrPrintsNothingIsAnError(t *testing.T) {
	_, err := readTag(t.Context(), provider.ExpirationTag{Cmd: "echo bad >&2; exit 3"})
	require.EqualError(t, err, "running provision.expirationTag.cmd: exit status 3: bad")
	_, err = readTag(t.Context(), provider.ExpirationTag{Cmd: "echo"})
	require.ErrorContains(t, err, "it printed nothing")
}
