// Package licenses_test checks the licenses of all modules that overcast and its
// tests are built from.
package licenses_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/licensecheck"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// permissive are the SPDX identifiers that a dependency may have.
var permissive = map[string]bool{
	"Apache-2.0": true, "MIT": true, "ISC": true, "BSD-2-Clause": true, "BSD-3-Clause": true,
}

// leastCovered is how much of a license file must be the text of known licenses,
// in percent. The rest is copyright lines.
const leastCovered = 75

func TestDependenciesArePermissive(t *testing.T) {
	modules := dependencies(t)
	require.Greater(t, len(modules), 10)
	for path, dir := range modules {
		files, err := filepath.Glob(filepath.Join(dir, "LICEN[CS]E*"))
		require.NoError(t, err)
		if !assert.NotEmpty(t, files, "module %s has no license file", path) {
			continue
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			checkLicense(t, path, text)
		}
	}
}

func checkLicense(t *testing.T, module string, text []byte) {
	t.Helper()
	found := licensecheck.Scan(text)
	assert.GreaterOrEqual(t, found.Percent, float64(leastCovered), "module %s: the license file is not the text of a known license", module)
	for _, match := range found.Match {
		assert.True(t, permissive[match.ID], "module %s has license %s, which is not permissive", module, match.ID)
	}
}

// dependencies are the folders of all modules that packages and tests of this
// module import, by their paths.
func dependencies(t *testing.T) map[string]string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-test", "-f", "{{with .Module}}{{.Path}}\t{{.Dir}}{{end}}", "./...")
	list.Dir = filepath.Join("..", "..")
	output, err := list.Output()
	require.NoError(t, err)
	modules := map[string]string{}
	for line := range strings.Lines(string(output)) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			modules[path] = dir
		}
	}
	return modules
}

// The Apache License requires that copies of a library come with its notice.
func TestNoticesOfDependenciesAreInNOTICE(t *testing.T) {
	ours, err := os.ReadFile(filepath.Join("..", "..", "NOTICE"))
	require.NoError(t, err)
	found := 0
	for path, dir := range dependencies(t) {
		text, err := os.ReadFile(filepath.Join(dir, "NOTICE"))
		if err != nil || path == "github.com/overcast-go/overcast" {
			continue
		}
		found++
		copyright, _, _ := strings.Cut(string(text), "\n")
		assert.Contains(t, string(ours), path+"\n"+copyright+"\n", "NOTICE does not have the notice of %s", path)
	}
	assert.NotZero(t, found)
}

func TestTheLicenseNamesTheCopyrightHolder(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "LICENSE"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "The overcast-go authors")
	assert.NotContains(t, string(text), "[name of copyright owner]")
}

func TestCopyleftIsNotPermissive(t *testing.T) {
	text, err := os.ReadFile("/usr/share/common-licenses/GPL-2")
	if err != nil {
		t.Skip("this system has no copy of the GPL to check against")
	}
	for _, match := range licensecheck.Scan(text).Match {
		assert.False(t, permissive[match.ID])
	}
}
