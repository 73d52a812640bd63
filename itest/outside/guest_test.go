//go:build linux

package outside

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const buildingSaid = "lab: building guest image ..."

// The cache's own tests try every kind of damage; here the guest is real.
func TestGuestsAreBuiltOnFirstUseByOneLabOnly(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	h := how{env: []string{"XDG_CACHE_HOME=" + home}}
	killed := start(t, h, "true")
	killed.says(t, killed.errors, buildingSaid)
	killed.signal(t, syscall.SIGKILL)
	assert.Empty(t, await(gone, killed.processes), "of the lab killed while it built")
	require.NotEmpty(t, built(t, home, "building-"))

	one, two := start(t, h, "true"), start(t, h, "true")
	assert.Equal(t, []int{0, 0}, []int{one.exitCode(t), two.exitCode(t)}, one.errors.String()+two.errors.String())
	said := one.errors.String() + two.errors.String()
	assert.Equal(t, 1, strings.Count(said, buildingSaid))
	assert.Regexp(t, `lab: building guest image \.\.\. \d+\.\ds\n`, said)
	assert.Len(t, built(t, home, "guest-"), 1)
	assert.Empty(t, built(t, home, "building-"), "what was built by half")
}

func built(t *testing.T, home, prefix string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(home, "overcast-lab"))
	require.NoError(t, err)
	var list []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			list = append(list, e.Name())
		}
	}
	return list
}
