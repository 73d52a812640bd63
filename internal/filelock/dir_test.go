//go:build unix

package filelock_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const sharedMode = os.ModeSticky | 0o777

func TestDirIsSharedByAllUsers(t *testing.T) {
	parent := t.TempDir()
	shared := filepath.Join(parent, "overcast")
	for range 2 { // created, and found
		dir, reason, err := filelock.DirIn(parent)
		require.NoError(t, err)
		require.NoError(t, reason)
		assert.Equal(t, shared, dir)
		info, err := os.Stat(dir)
		require.NoError(t, err)
		assert.Equal(t, sharedMode, info.Mode()&(os.ModeSticky|os.ModePerm))
		require.NoError(t, os.Chmod(dir, 0o755)) // as while another process creates it
	}
}

// If a user creates the shared folder first, the files of other users must not go to
// another folder, and other users must still be able to work.
func TestDirIsPrivateIfTheSharedFolderCannotBeTrusted(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, shared string)
		reason  string
	}{
		"a link to a folder": {func(t *testing.T, shared string) {
			require.NoError(t, os.Symlink(t.TempDir(), shared))
		}, "%s: not a folder: remove it"},
		"a file": {func(t *testing.T, shared string) {
			require.NoError(t, os.WriteFile(shared, nil, 0o666))
		}, "%s: not a folder: remove it"},
		"writable to all but not sticky": {func(t *testing.T, shared string) {
			require.NoError(t, os.Mkdir(shared, 0o777))
			require.NoError(t, os.Chmod(shared, 0o777))
		}, "%s has mode drwxrwxrwx, not dtrwxrwxrwx"},
		"another user's": {func(t *testing.T, shared string) {
			require.NoError(t, os.Mkdir(shared, 0o700))
			require.NoError(t, os.Chmod(shared, 0o777|os.ModeSticky))
			giveAway(t, shared)
		}, "%s belongs to user 65534"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			shared := filepath.Join(parent, "overcast")
			test.prepare(t, shared)
			private := fmt.Sprintf("%s-%d", shared, os.Geteuid())
			for range 2 {
				dir, reason, err := filelock.DirIn(parent)
				require.NoError(t, err)
				assert.EqualError(t, reason, fmt.Sprintf(test.reason, shared))
				assert.Equal(t, private, dir)
				info, err := os.Lstat(dir)
				require.NoError(t, err)
				assert.Equal(t, os.ModeDir|0o700, info.Mode())
			}
			giveAway(t, private)
			_, _, err := filelock.DirIn(parent)
			assert.EqualError(t, err, private+" belongs to user 65534 with mode drwx------: remove it")
		})
	}
}

// giveAway makes another user the owner of a folder.
func giveAway(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to another user")
	}
	require.NoError(t, os.Chown(path, 65534, 65534))
}

// Another user may create folders and links in the shared folder.
func TestAQueueThatIsALinkIsNotFollowed(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	queue := filepath.Join(dir, "web.queue")
	for name, target := range map[string]string{
		"out of the folder":       elsewhere,
		"to a path below":         "other.queue",
		"to a path that is unset": filepath.Join(elsewhere, "new"),
	} {
		t.Run(name, func(t *testing.T) {
			other, err := filelock.Join(t.Context(), dir, "other", me("b"))
			require.NoError(t, err)
			defer other.Release()
			require.NoError(t, os.Symlink(target, queue))
			defer os.Remove(queue)
			_, err = filelock.Join(t.Context(), dir, "web", me("a"))
			assert.EqualError(t, err, "joining the queue of web: "+queue+": not a folder: remove it")
			entries, err := os.ReadDir(elsewhere)
			require.NoError(t, err)
			assert.Empty(t, entries, "no file is created in a folder of another user's choosing")
			ahead, err := other.Ahead()
			require.NoError(t, err)
			assert.Empty(t, ahead)
		})
	}
}

// The lock of a queue is opened only in the queue's own folder.
func TestALinkInsteadOfTheLockOfAQueueIsNotFollowed(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	target := filepath.Join(elsewhere, "created")
	lock := filepath.Join(dir, "web.queue", "queue.lock")
	require.NoError(t, os.Mkdir(filepath.Dir(lock), 0o777))
	require.NoError(t, os.Symlink(target, lock))
	_, err := filelock.Join(t.Context(), dir, "web", me("a"))
	assert.EqualError(t, err, "joining the queue of web: "+lock+": not a regular file: remove it")
	assert.NoFileExists(t, target)
}

func TestARecordOfAnotherUserIsNotRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fmt.Sprintf("ids.%d.record", os.Geteuid()))
	require.NoError(t, os.WriteFile(path, []byte("theirs"), 0o644))
	giveAway(t, path)
	_, err := filelock.Read(dir, "ids")
	assert.EqualError(t, err, "reading the record of ids: "+path+" belongs to user 65534: remove it")
}
