//go:build unix

package filelock_test

import (
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnAnnouncedProcessRunsUntilItsFileIsClosed(t *testing.T) {
	dir := t.TempDir()
	state := func() []bool {
		runs, known := filelock.IsAnnounced(dir, "owner-1")
		return []bool{runs, known}
	}
	assert.Equal(t, []bool{false, false}, state())
	file, err := filelock.Announce(dir, "owner-1")
	require.NoError(t, err)
	assert.Equal(t, []bool{true, true}, state())
	require.NoError(t, filelock.RemoveAnnounced(dir, 0))
	assert.Equal(t, []bool{true, true}, state(), "the process runs")
	require.NoError(t, file.Close())
	assert.Equal(t, []bool{false, true}, state())
	require.NoError(t, filelock.RemoveAnnounced(dir, time.Hour))
	assert.Equal(t, []bool{false, true}, state(), "announced within the hour")
	require.NoError(t, filelock.RemoveAnnounced(dir, 0))
	assert.Equal(t, []bool{false, false}, state())
}
