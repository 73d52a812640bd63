//go:build unix

package filelock_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnlyItsOwnerMayWriteToATicket(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := t.TempDir()
	ticket, err := filelock.Acquire(t.Context(), dir, "fe80::1%eth0/../x", me("web"), nil)
	require.NoError(t, err)
	defer ticket.Release()
	modes := map[string]fs.FileMode{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if path == dir || err != nil {
			return err
		}
		info, err := entry.Info()
		modes[path[len(dir):]] = info.Mode()
		return err
	}))
	assert.Equal(t, map[string]fs.FileMode{
		"/fe80_1_eth0_.._x.queue":                     fs.ModeDir | fs.ModeSticky | 0o777,
		"/fe80_1_eth0_.._x.queue/queue.lock":          0o644,
		"/fe80_1_eth0_.._x.queue/500000000001.ticket": 0o644,
	}, modes)
}

func TestProcessesOfSeveralUsersShareAQueue(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process as another user")
	}
	dir, err := os.MkdirTemp("/tmp", "filelock-test") // not t.TempDir, whose parents are private
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777|fs.ModeSticky))
	program := filepath.Join(dir, "filelock.test")
	content, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, content, 0o755))
	require.NoError(t, os.Chmod(program, 0o755))

	mine := join(t, dir, "mine")
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	theirs := start(t, dir, cmd)
	theirs.prints("waiting for mine")
	require.NoError(t, mine.Release())
	theirs.prints("acquired")
	mine = join(t, dir, "mine")
	ahead, err := mine.Ahead()
	require.NoError(t, err)
	assert.Equal(t, []string{"helper"}, labels(ahead))
	theirs.kill()
	require.NoError(t, mine.Await(t.Context(), isFirst))
	require.NoError(t, mine.Release())
}

// A FIFO would block a process that opens it until another one writes to it.
func TestAFIFOInTheFolderBlocksNoProcess(t *testing.T) {
	for name, test := range map[string]struct {
		file  string
		fails bool
	}{
		"as a ticket":     {"500000000001.ticket", false},
		"as the lock":     {"queue.lock", true},
		"as a new ticket": {"1.new", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "web.queue", test.file)
			require.NoError(t, os.Mkdir(filepath.Dir(path), 0o777))
			require.NoError(t, syscall.Mkfifo(path, 0o666))
			done := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				ticket, err := filelock.Acquire(ctx, dir, "web", me("a"), nil)
				if err == nil {
					err = ticket.Release()
				}
				done <- err
			}()
			select {
			case err := <-done:
				if test.fails {
					assert.EqualError(t, err, "joining the queue of web: "+path+": not a regular file: remove it")
				} else {
					assert.NoError(t, err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("Acquire does not return")
			}
		})
	}
}

func TestASymbolicLinkIsNoTicket(t *testing.T) {
	dir := t.TempDir()
	held := join(t, dir, "a")
	queue := filepath.Join(dir, "web.queue")
	require.NoError(t, os.Symlink(filepath.Join(queue, "500000000001.ticket"), filepath.Join(queue, "500000000002.ticket")))
	b := join(t, dir, "b")
	ahead, err := b.Ahead()
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, labels(ahead))
	require.NoError(t, errors.Join(held.Release(), b.Release()))
}

func TestATicketWithoutReadableContentIsOfAnUnknownProcess(t *testing.T) {
	dir := t.TempDir()
	held := join(t, dir, "a")
	defer held.Release()
	require.NoError(t, os.WriteFile(ticketsIn(t, dir)[0], []byte("no JSON"), 0o600))
	_, err := filelock.Acquire(ended(t), dir, "web", me("b"), nil)
	assert.ErrorContains(t, err, "lock web is held by an unknown process since ")
}

// ended returns a context that has ended.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
