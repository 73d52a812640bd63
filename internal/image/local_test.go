package image_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// steps records which steps a Get reports, each once.
type steps struct{ seen []string }

func (s *steps) report(p image.Progress) {
	if len(s.seen) == 0 || s.seen[len(s.seen)-1] != p.Step {
		s.seen = append(s.seen, p.Step)
	}
}

// backdate makes a file look as if it had not been written just now.
func backdate(t *testing.T, path string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	require.NoError(t, os.Chtimes(path, then, then))
}

func TestTheDigestOfALocalFileIsComputedOncePerState(t *testing.T) {
	cache := newCache(t)
	content := disk(10 * 512)
	path := write(t, "image", content)
	backdate(t, path, time.Hour)
	get := func() (image.Image, []string) {
		t.Helper()
		var s steps
		img, err := cache.Get(t.Context(), fileSource(t, path), s.report)
		require.NoError(t, err)
		return img, s.seen
	}
	img, seen := get()
	assert.Equal(t, image.Image{Path: path, Format: image.Raw, VirtualSize: 10 * 512, SHA256: digest(content)}, img)
	assert.Equal(t, []string{"reading"}, seen)
	_, seen = get()
	assert.Empty(t, seen, "nothing that takes time")

	content[0] ^= 1
	require.NoError(t, os.WriteFile(path, content, 0o600))
	backdate(t, path, 2*time.Hour)
	img, seen = get()
	assert.Equal(t, digest(content), img.SHA256, "another modification time")
	assert.Equal(t, []string{"reading"}, seen)

	content[0] ^= 1
	info, err := os.Stat(path)
	require.NoError(t, err)
	other := write(t, "other", content)
	require.NoError(t, os.Chtimes(other, info.ModTime(), info.ModTime()))
	require.NoError(t, os.Rename(other, path))
	img, _ = get()
	assert.Equal(t, digest(content), img.SHA256, "another inode")
}

func TestTheDigestOfAFileThatWasJustWrittenIsNotKept(t *testing.T) {
	cache := newCache(t)
	path := write(t, "image", disk(512))
	now := time.Now().Add(time.Hour) // the clock of a file server may be ahead
	for _, content := range [][]byte{disk(512), make([]byte, 512)} {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		require.NoError(t, os.Chtimes(path, now, now))
		img, err := cache.Get(t.Context(), fileSource(t, path), nil)
		require.NoError(t, err)
		assert.Equal(t, digest(content), img.SHA256)
	}
}

func TestAFileThatIsMissingOrNoFileIsRefused(t *testing.T) {
	cache := newCache(t)
	path := filepath.Join(t.TempDir(), "missing.qcow2")
	_, err := cache.Get(t.Context(), fileSource(t, path), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.Equal(t, "reading image "+path+": no such file or directory", err.Error())
	dir := t.TempDir()
	_, err = cache.Get(t.Context(), fileSource(t, dir), nil)
	require.EqualError(t, err, "reading image "+dir+": it is not a regular file")
	volume, err := image.VolumeSource("default/debian.qcow2")
	require.NoError(t, err)
	_, err = cache.Get(t.Context(), volume, nil)
	require.ErrorIs(t, err, image.ErrVolume)
	assert.Equal(t, "fetching image default/debian.qcow2: a volume of the hypervisor is used where it is", err.Error())
}

func TestReadingAndDecompressingEndWithTheContext(t *testing.T) {
	stop := errors.New("the test is over")
	for _, step := range []string{"reading", "decompressing"} {
		t.Run(step, func(t *testing.T) {
			cache := newCache(t)
			path := write(t, "image", compress(t, "gzip", disk(mega)))
			ctx, cancel := context.WithCancelCause(t.Context())
			_, err := cache.Get(ctx, fileSource(t, path), func(p image.Progress) {
				if p.Step == step {
					cancel(stop)
				}
			})
			require.ErrorIs(t, err, stop)
			left, err := filepath.Glob(filepath.Join(cache.Dir, "*.part"))
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}
