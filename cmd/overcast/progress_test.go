package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProgressFindsTestsOfOvercast(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	proc := t.TempDir()
	for pid, exe := range map[string]string{"11": self, "12": "/bin/sh", "self": self} {
		require.NoError(t, os.Mkdir(filepath.Join(proc, pid), 0o700))
		require.NoError(t, os.Symlink(exe, filepath.Join(proc, pid, "exe")))
	}
	tests, err := runningTests(proc)
	require.NoError(t, err)
	assert.Equal(t, []testProcess{{11, "overcast.test"}}, tests)
}
