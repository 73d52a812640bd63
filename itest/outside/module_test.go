//go:build linux

package outside

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The folder of a module that only requires this one.
func TestTheLabRunsFromAnotherModule(t *testing.T) {
	t.Parallel()
	checkout, err := filepath.Abs(repository)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(`module example.com/other

go 1.26.0

require github.com/overcast-go/overcast v0.0.0

replace github.com/overcast-go/overcast => `+checkout+`

tool github.com/overcast-go/overcast/itest/lab
`), 0o644))
	l, code := run(t, how{via: []string{"go", "mod", "tidy"}, dir: dir})
	require.Zero(t, code, l.errors.String())
	l, code = run(t, how{via: []string{"go", "run", "github.com/overcast-go/overcast/itest/lab"}, dir: dir}, "virsh", "-q", "list", "--all", "--name")
	require.Zero(t, code, l.errors.String())
	assert.Contains(t, l.out.String(), "my_base_domain")
}
