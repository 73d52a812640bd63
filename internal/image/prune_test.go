package image_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const week = 7 * 24 * time.Hour

func TestPruneRemovesWhatWasNotUsedForLong(t *testing.T) {
	cache := newCache(t)
	old, used := compress(t, "gzip", disk(mega)), disk(mega/2)
	oldSource, usedSource := serve(t, old).source(t, digest(old)), serve(t, used).source(t, digest(used))
	for _, source := range []image.Source{oldSource, usedSource} {
		_, err := cache.Get(t.Context(), source, nil)
		require.NoError(t, err)
	}
	for _, name := range files(t, cache) {
		if filepath.Ext(name) == ".json" {
			backdate(t, filepath.Join(cache.Dir, name), 2*week)
		}
	}
	_, err := cache.Get(t.Context(), usedSource, nil)
	require.NoError(t, err)
	freed, err := cache.Prune(t.Context(), week)
	require.NoError(t, err)
	assert.Equal(t, []string{digest(used), digest(used) + ".json"}, files(t, cache))
	assert.Greater(t, freed, int64(len(old)+mega))
	_, err = cache.Prune(t.Context(), 0)
	require.NoError(t, err)
	assert.Empty(t, files(t, cache))
}

func TestPruneLeavesADownloadThatGoesOn(t *testing.T) {
	content := disk(mega)
	s := serve(t, content)
	cache := newCache(t)
	_, err := cache.Prune(t.Context(), 0)
	require.NoError(t, err, "a cache that does not exist")
	begun, release := holdBack(s)
	defer release()
	done := make(chan error)
	go func() {
		_, err := cache.Get(t.Context(), s.source(t, digest(content)), nil)
		done <- err
	}()
	<-begun
	_, err = cache.Prune(t.Context(), 0)
	require.NoError(t, err)
	assert.Contains(t, files(t, cache), digest(content)+".part")
	release()
	require.NoError(t, <-done)
	assert.Len(t, s.ranges(), 1)
}

func TestAnOldUnfinishedDownloadIsCleanedUpByTheNextOne(t *testing.T) {
	first, second := disk(mega), disk(mega/2)
	s, other := serve(t, first), serve(t, second)
	cache := newCache(t)
	interrupt(t, cache, s, s.source(t, digest(first)), 400_000)
	_, err := cache.Get(t.Context(), other.source(t, digest(second)), nil)
	require.NoError(t, err)
	part := digest(first) + ".part"
	assert.Contains(t, files(t, cache), part)

	for _, name := range []string{part, part + ".json"} {
		backdate(t, filepath.Join(cache.Dir, name), 2*week)
	}
	require.NoError(t, os.Remove(filepath.Join(cache.Dir, digest(second))))
	_, err = cache.Get(t.Context(), other.source(t, digest(second)), nil)
	require.NoError(t, err)
	assert.Equal(t, []string{digest(second), digest(second) + ".json"}, files(t, cache))
}
