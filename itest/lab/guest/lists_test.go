//go:build linux

package guest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aptGet puts a program of that name first in PATH which notes its arguments
// and exits with a code.
func aptGet(t *testing.T, code string) (noted func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := "#!/bin/sh\necho \"$@\" >>" + log + "\necho no network >&2\nexit " + code + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "apt-get"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		text, _ := os.ReadFile(log)
		return string(text)
	}
}

func TestListsThatDoNotServeAreFetchedOnce(t *testing.T) {
	noted := aptGet(t, "0")
	tries := 0
	err := withFreshLists(t.Context(), func() error {
		if tries++; tries == 1 {
			return &listsError{errors.New("404 Not Found")}
		}
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, 2, tries)
	assert.Equal(t, "update -q\n", noted())
}

func TestListsAreLeftAloneForOtherErrors(t *testing.T) {
	noted := aptGet(t, "0")
	broken := errors.New("mke2fs failed")
	assert.Equal(t, broken, withFreshLists(t.Context(), func() error { return broken }))
	assert.Empty(t, noted())
}

func TestListsThatCannotBeFetchedAreToldOf(t *testing.T) {
	aptGet(t, "100")
	gone := errors.New("404 Not Found")
	err := withFreshLists(t.Context(), func() error { return &listsError{gone} })
	require.ErrorIs(t, err, gone)
	assert.Contains(t, err.Error(), "fetching new package lists failed, too")
	assert.Contains(t, err.Error(), "no network")
}
