// Package filelocktest cleans up the files of package filelock after tests.
package filelocktest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// RemoveAtEnd removes the files of locks and records whose names begin with prefix, at
// the end of the test.
func RemoveAtEnd(t *testing.T, prefix string) {
	t.Helper()
	dir, err := filelock.Dir()
	require.NoError(t, err)
	t.Cleanup(func() {
		files, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
		require.NoError(t, err)
		for _, file := range files {
			assert.NoError(t, os.RemoveAll(file))
		}
	})
}
