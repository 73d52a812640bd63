//go:build unix

package filelock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func me(label string) filelock.Holder {
	return filelock.Holder{PID: os.Getpid(), Label: label, Detail: "filelock.test", Since: time.Now().Truncate(time.Second).UTC()}
}

func TestAcquireLetsInOneHolderAtATime(t *testing.T) {
	dir := t.TempDir()
	var inside, most int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			ticket, err := filelock.Acquire(t.Context(), dir, "10.0.0.9", me("web"), nil)
			if !assert.NoError(t, err) {
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			inside--
			mu.Unlock()
			assert.NoError(t, ticket.Release())
		})
	}
	all.Wait()
	assert.Equal(t, 1, most)
}

func TestAcquireReportsTheHolder(t *testing.T) {
	dir := t.TempDir()
	holder := me("web")
	held, err := filelock.Acquire(t.Context(), dir, "10.0.0.9", holder, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	timeout := errors.New("static.wait of 2s is over")
	var shown []filelock.Holder
	_, err = filelock.Acquire(ctx, dir, "10.0.0.9", me("db"), func(h filelock.Holder) {
		shown = append(shown, h)
		cancel(timeout)
	})
	var busy *filelock.BusyError
	require.ErrorAs(t, err, &busy)
	require.ErrorIs(t, err, timeout)
	assert.Equal(t, holder, busy.Holder)
	assert.Equal(t, []filelock.Holder{holder}, shown, "once, however often the lock is tried")
	assert.Contains(t, err.Error(), fmt.Sprintf("lock 10.0.0.9 is held by web of process %d (filelock.test) since ", os.Getpid()))
	assert.Contains(t, err.Error(), "static.wait of 2s is over: wait longer, or end that process")

	other, err := filelock.Acquire(t.Context(), dir, "10.0.0.10", me("db"), nil)
	require.NoError(t, err, "another name")
	require.NoError(t, other.Release())
	require.NoError(t, held.Release())
	require.NoError(t, held.Release(), "again")
}

func TestAcquireTriesOnceWhenItsContextHasEnded(t *testing.T) {
	ended := ended(t)
	free, err := filelock.Acquire(ended, t.TempDir(), "10.0.0.9", me("db"), nil)
	require.NoError(t, err)
	require.NoError(t, free.Release())
}

func TestAcquireLeavesTheQueueWhenItsContextEnds(t *testing.T) {
	dir := t.TempDir()
	held, err := filelock.Acquire(t.Context(), dir, "web", me("a"), nil)
	require.NoError(t, err)
	ended := ended(t)
	_, err = filelock.Acquire(ended, dir, "web", me("b"), nil)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, held.Release())
	assert.Empty(t, ticketsIn(t, dir))
}

func TestAcquireReportsAHolderOfAnotherTimeZoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		holder := me("web")
		holder.Since = holder.Since.In(time.FixedZone("far away", 5*3600+45*60))
		held, err := filelock.Acquire(t.Context(), dir, "10.0.0.9", holder, nil)
		require.NoError(t, err)
		defer held.Release()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // many attempts
		defer cancel()
		var shown []string
		_, err = filelock.Acquire(ctx, dir, "10.0.0.9", me("db"), func(h filelock.Holder) { shown = append(shown, h.Label) })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []string{"web"}, shown)
	})
}

func TestAcquireServesWaitersInTheOrderOfTheirArrival(t *testing.T) {
	dir := t.TempDir()
	first, err := filelock.Acquire(t.Context(), dir, "web", me("first"), nil)
	require.NoError(t, err)
	second := join(t, dir, "second")
	waiting := make(chan struct{})
	var holders []string
	var once sync.Once
	var third sync.WaitGroup
	third.Go(func() {
		ticket, err := filelock.Acquire(t.Context(), dir, "web", me("third"), func(h filelock.Holder) {
			holders = append(holders, h.Label)
			once.Do(func() { close(waiting) })
		})
		if assert.NoError(t, err) {
			assert.NoError(t, ticket.Release())
		}
	})
	<-waiting
	require.NoError(t, first.Release())
	require.NoError(t, second.Await(t.Context(), isFirst))
	require.NoError(t, second.Release())
	third.Wait()
	assert.Equal(t, "first", holders[0])
}

func TestDirIsIndependentOfTheEnvironment(t *testing.T) {
	before, err := filelock.Dir()
	require.NoError(t, err)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	after, err := filelock.Dir()
	require.NoError(t, err)
	assert.Equal(t, before, after)
	info, err := os.Stat(after)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSticky|0o777, info.Mode()&(os.ModeSticky|os.ModePerm))
}

const dirVariable = "FILELOCK_TEST_DIR"

// TestHelperHolder is the process that acquires a lock and is killed.
func TestHelperHolder(t *testing.T) {
	dir := os.Getenv(dirVariable)
	if dir == "" {
		t.Skip("a helper process of other tests, which set " + dirVariable)
	}
	_, err := filelock.Acquire(t.Context(), dir, "web", me("helper"), func(h filelock.Holder) { fmt.Println("waiting for", h.Label) })
	require.NoError(t, err)
	fmt.Println("acquired")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// helper is a process that acquires the lock web.
type helper struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// start starts a helper; cmd names the program, and the user.
func start(t *testing.T, dir string, cmd *exec.Cmd) *helper {
	t.Helper()
	cmd.Args = []string{cmd.Path, "-test.run=^TestHelperHolder$", "-test.v"}
	cmd.Env = append(os.Environ(), dirVariable+"="+dir)
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	h := &helper{t, cmd, bufio.NewScanner(out)}
	t.Cleanup(h.kill)
	return h
}

// prints waits until the helper has printed a line.
func (h *helper) prints(line string) {
	h.t.Helper()
	var output []string
	for h.lines.Scan() {
		if h.lines.Text() == line {
			return
		}
		output = append(output, h.lines.Text())
	}
	require.Fail(h.t, "the helper has ended without printing "+line, "it printed %q", output)
}

func (h *helper) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

func TestTheKernelReleasesTheLockOfAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	other := start(t, dir, exec.Command(os.Args[0]))
	other.prints("acquired")
	var holder filelock.Holder
	ticket, err := filelock.Acquire(t.Context(), dir, "web", me("db"), func(h filelock.Holder) {
		holder = h
		other.kill()
	})
	require.NoError(t, err)
	assert.Equal(t, other.cmd.Process.Pid, holder.PID)
	require.NoError(t, ticket.Release())

	last := join(t, dir, "last")
	assert.Len(t, ticketsIn(t, dir), 1, "Join removes the tickets of processes that have ended")
	require.NoError(t, last.Release())
}

// ticketsIn returns the files of the queue web that are tickets, or are about
// to be.
func ticketsIn(t *testing.T, dir string) (paths []string) {
	t.Helper()
	for _, pattern := range []string{"*.ticket", "*.new"} {
		found, err := filepath.Glob(filepath.Join(dir, "web.queue", pattern))
		require.NoError(t, err)
		paths = append(paths, found...)
	}
	return paths
}
