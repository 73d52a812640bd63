//go:build unix

package filelock_test

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUpdatesOfARecordAreNotLost(t *testing.T) {
	dir, me := t.TempDir(), filelock.Holder{PID: os.Getpid(), Label: "web"}
	_, err := filelock.Read(dir, "numbers")
	require.ErrorIs(t, err, os.ErrNotExist)
	increase := func(old []byte) []byte {
		number, _ := strconv.Atoi(string(old)) // "" is 0
		return []byte(strconv.Itoa(number + 1))
	}
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() { assert.NoError(t, filelock.Update(t.Context(), dir, "numbers", me, increase)) })
	}
	all.Wait()
	content, err := filelock.Read(dir, "numbers")
	require.NoError(t, err)
	assert.Equal(t, "12", string(content))

	held, err := filelock.Acquire(t.Context(), dir, "numbers", me, nil)
	require.NoError(t, err)
	defer held.Release()
	ended, end := context.WithCancel(t.Context())
	end()
	var busy *filelock.BusyError
	require.ErrorAs(t, filelock.Update(ended, dir, "numbers", me, increase), &busy)
}

func TestTryAcquireDoesNotWait(t *testing.T) {
	dir, me := t.TempDir(), filelock.Holder{PID: os.Getpid(), Label: "web"}
	first, err := filelock.TryAcquire(t.Context(), dir, "slot 0", me)
	require.NoError(t, err)
	require.NotNil(t, first)
	second, err := filelock.TryAcquire(t.Context(), dir, "slot 0", me)
	require.NoError(t, err)
	assert.Nil(t, second, "another holder")
	other, err := filelock.TryAcquire(t.Context(), dir, "slot 1", me)
	require.NoError(t, err)
	require.NotNil(t, other)
	require.NoError(t, other.Release())
	require.NoError(t, first.Release())
	second, err = filelock.TryAcquire(t.Context(), dir, "slot 0", me)
	require.NoError(t, err)
	require.NotNil(t, second)
	require.NoError(t, second.Release())
}
