//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// deps runs deps.sh with these programs of the machine, and no others.
func deps(t *testing.T, programs []string, parts ...string) (output string, err error) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(programs, "id") {
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(dir, name)))
	}
	cmd := exec.Command("/bin/sh", append([]string{"./deps.sh"}, parts...)...)
	cmd.Env = []string{"PATH=" + dir}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestDepsWithoutAptPrintsThePackagesAndStops(t *testing.T) {
	out, err := deps(t, nil, "build", "lab")
	assert.Error(t, err)
	assert.Contains(t, out, "there is no apt-get here")
	assert.Contains(t, out, "gcc libc6-dev pkg-config libvirt-dev libvirt-daemon-system")
}

func TestDepsWithoutAptIsContentWithWhatIsThere(t *testing.T) {
	out, err := deps(t, []string{"gcc", "pkg-config"}, "build")
	assert.NoError(t, err, out)
	assert.Empty(t, out)
}

func TestDepsRefusesAPartThatItDoesNotKnow(t *testing.T) {
	out, err := deps(t, nil, "everything")
	assert.Error(t, err)
	assert.Contains(t, out, "no such part: everything")
}
