//go:build linux

package guest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// content is what a whole entry holds in these tests.
var content = map[string]string{kernelFile: "kernel", initrdFile: "initrd", rootFile: "root", keyFile: "key", keyFile + ".pub": "pub"}

func buildContent(dir string) error {
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// built asks for an entry and says how often it was built for that.
func built(t *testing.T, c cache, name string) (path string, times int) {
	t.Helper()
	path, err := c.entry(t.Context(), name, func(dir string) error {
		times++
		return buildContent(dir)
	})
	require.NoError(t, err)
	for name, text := range content {
		got, err := os.ReadFile(filepath.Join(path, name))
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	return path, times
}

func TestEntryIsBuiltOnce(t *testing.T) {
	c := cache{filepath.Join(t.TempDir(), "not", "yet", "there")}
	first, times := built(t, c, "guest-1")
	assert.Equal(t, 1, times)
	again, times := built(t, c, "guest-1")
	assert.Equal(t, 0, times)
	assert.Equal(t, first, again)
	_, times = built(t, c, "guest-2")
	assert.Equal(t, 1, times, "of another name")
}

func TestBrokenEntryIsRebuilt(t *testing.T) {
	damage := map[string]func(t *testing.T, entry string){
		"manifest missing":    func(t *testing.T, e string) { require.NoError(t, os.Remove(filepath.Join(e, manifestFile))) },
		"manifest truncated":  func(t *testing.T, e string) { require.NoError(t, os.Truncate(filepath.Join(e, manifestFile), 30)) },
		"manifest empty":      func(t *testing.T, e string) { require.NoError(t, os.Truncate(filepath.Join(e, manifestFile), 0)) },
		"manifest of nothing": func(t *testing.T, e string) { write(t, filepath.Join(e, manifestFile), "{}") },
		"folder empty": func(t *testing.T, e string) {
			require.NoError(t, os.RemoveAll(e))
			require.NoError(t, os.Mkdir(e, 0o755))
		},
		"a file in the folder's place": func(t *testing.T, e string) { require.NoError(t, os.RemoveAll(e)); write(t, e, "") },
		"manifest a folder":            func(t *testing.T, e string) { replaceByFolder(t, filepath.Join(e, manifestFile)) },
	}
	for name := range content {
		damage[name+" missing"] = func(t *testing.T, e string) { require.NoError(t, os.Remove(filepath.Join(e, name))) }
		damage[name+" truncated"] = func(t *testing.T, e string) { require.NoError(t, os.Truncate(filepath.Join(e, name), 1)) }
		damage[name+" changed"] = func(t *testing.T, e string) { write(t, filepath.Join(e, name), strings.ToUpper(content[name])) }
		damage[name+" a folder"] = func(t *testing.T, e string) { replaceByFolder(t, filepath.Join(e, name)) }
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			c := cache{t.TempDir()}
			path, _ := built(t, c, "guest-1")
			harm(t, path)
			_, times := built(t, c, "guest-1")
			assert.Equal(t, 1, times)
			_, times = built(t, c, "guest-1")
			assert.Equal(t, 0, times, "after it was rebuilt")
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func replaceByFolder(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
}

func TestHalfBuiltFolderIsNeverUsed(t *testing.T) {
	c := cache{t.TempDir()}
	half := filepath.Join(c.dir, partial+"123")
	require.NoError(t, os.Mkdir(half, 0o700))
	require.NoError(t, buildContent(half))
	path, times := built(t, c, "guest-1")
	assert.Equal(t, 1, times)
	assert.NotEqual(t, half, path)
	assert.NoDirExists(t, half)
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	c := cache{t.TempDir()}
	failure := errors.New("no network")
	_, err := c.entry(t.Context(), "guest-1", func(dir string) error {
		require.NoError(t, os.Mkdir(filepath.Join(dir, "scratch"), 0o755))
		require.NoError(t, buildContent(dir))
		return failure
	})
	require.ErrorIs(t, err, failure)
	assert.Equal(t, []string{"lock"}, names(t, c.dir))
	_, times := built(t, c, "guest-1")
	assert.Equal(t, 1, times)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// Locks belong to open files, so goroutines exclude each other as processes do.
func TestConcurrentUsersBuildOnce(t *testing.T) {
	c := cache{t.TempDir()}
	var builds, building atomic.Int32
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			path, err := c.entry(t.Context(), "guest-1", func(dir string) error {
				builds.Add(1)
				assert.EqualValues(t, 1, building.Add(1), "builds at a time")
				defer building.Add(-1)
				return buildContent(dir)
			})
			assert.NoError(t, err)
			assert.NoError(t, verify(path))
		})
	}
	users.Wait()
	assert.EqualValues(t, 1, builds.Load())
}

func TestWaitingForABuildEndsWithTheContext(t *testing.T) {
	c := cache{t.TempDir()}
	building, finish := make(chan struct{}), make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		_, err := c.entry(t.Context(), "guest-1", func(dir string) error {
			close(building)
			<-finish
			return buildContent(dir)
		})
		assert.NoError(t, err)
	})
	defer other.Wait()
	defer close(finish)
	<-building

	ctx, cancel := context.WithCancelCause(t.Context())
	impatience := errors.New("stopped by interrupt")
	waited := make(chan error, 1)
	go func() {
		_, err := c.entry(ctx, "guest-1", func(string) error { return errors.New("built beside another build") })
		waited <- err
	}()
	cancel(impatience)
	err := <-waited
	require.ErrorIs(t, err, impatience)
	assert.ErrorContains(t, err, c.dir)
}

func TestEntriesLongUnusedArePruned(t *testing.T) {
	c := cache{t.TempDir()}
	old, _ := built(t, c, "guest-old")
	used, _ := built(t, c, "guest-used")
	long := time.Now().Add(-unusedFor - time.Hour)
	require.NoError(t, os.Chtimes(old, long, long))
	require.NoError(t, os.Chtimes(used, long, long))
	built(t, c, "guest-used") // asking for an entry keeps it

	built(t, c, "guest-new")
	assert.NoDirExists(t, old)
	assert.DirExists(t, used)
}
