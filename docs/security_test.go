package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var testName = regexp.MustCompile(`\bTest[A-Z]\w+`)

func TestTestsThatTheThreatModelNamesExist(t *testing.T) {
	page, err := os.ReadFile("security.md")
	require.NoError(t, err)
	var tests strings.Builder
	err = filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	})
	require.NoError(t, err)
	names := testName.FindAllString(string(page), -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		assert.Contains(t, tests.String(), "func "+name+"(", "security.md names %s", name)
	}
}
