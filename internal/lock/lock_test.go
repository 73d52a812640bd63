//go:build unix

package lock_test

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

	"github.com/overcast-go/overcast/internal/lock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func me(label string) lock.Holder {
	return lock.Holder{PID: os.Getpid(), Label: label, Run: "lock.test", Since: time.Now().Truncate(time.Second).UTC()}
}

func TestOneHolderAtATime(t *testing.T) {
	dir := t.TempDir()
	var inside, most int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			l, err := lock.Acquire(t.Context(), dir, "10.0.0.9", me("web"), nil)
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
			assert.NoError(t, l.Release())
		})
	}
	all.Wait()
	assert.Equal(t, 1, most)
}

func TestWhoeverWaitsIsToldWhoHoldsIt(t *testing.T) {
	dir := t.TempDir()
	holder := me("web")
	l, err := lock.Acquire(t.Context(), dir, "10.0.0.9", holder, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("static.wait is over")
	var told []lock.Holder
	_, err = lock.Acquire(ctx, dir, "10.0.0.9", me("db"), func(h lock.Holder) {
		told = append(told, h)
		cancel(over)
	})
	var busy *lock.BusyError
	require.ErrorAs(t, err, &busy)
	require.ErrorIs(t, err, over)
	assert.Equal(t, holder, busy.Holder)
	assert.Equal(t, []lock.Holder{holder}, told, "once, however often it was tried")
	assert.Contains(t, err.Error(), fmt.Sprintf("10.0.0.9 is held by web of process %d (lock.test), since ", os.Getpid()))
	assert.Contains(t, err.Error(), "static.wait is over: wait longer, or end that process")

	other, err := lock.Acquire(t.Context(), dir, "10.0.0.10", me("db"), nil)
	require.NoError(t, err, "another name")
	require.NoError(t, other.Release())
	require.NoError(t, l.Release())
	require.NoError(t, l.Release(), "again")
	ended, end := context.WithCancel(t.Context())
	end()
	free, err := lock.Acquire(ended, dir, "10.0.0.9", me("db"), nil)
	require.NoError(t, err, "what is free needs no wait")
	require.NoError(t, free.Release())
}

func TestHoldersAreToldOnceInWhateverTimeZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		holder := me("web")
		holder.Since = holder.Since.In(time.FixedZone("far away", 5*3600+45*60))
		l, err := lock.Acquire(t.Context(), dir, "10.0.0.9", holder, nil)
		require.NoError(t, err)
		defer l.Release()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // many tries
		defer cancel()
		var told []string
		_, err = lock.Acquire(ctx, dir, "10.0.0.9", me("db"), func(h lock.Holder) { told = append(told, h.Label) })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []string{"web"}, told)
	})
}

func TestEverybodyMayLockTheFile(t *testing.T) {
	dir := t.TempDir()
	l, err := lock.Acquire(t.Context(), dir, "fe80::1%eth0/../x", me("web"), nil)
	require.NoError(t, err)
	defer l.Release()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "fe80_1_eth0_.._x.lock")}, files)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o666), info.Mode())
}

func TestTheFolderIsTheSameWhateverTheEnvironmentSays(t *testing.T) {
	before, err := lock.Dir()
	require.NoError(t, err)
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	after, err := lock.Dir()
	require.NoError(t, err)
	assert.Equal(t, before, after)
	info, err := os.Stat(after)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSticky|0o777, info.Mode()&(os.ModeSticky|os.ModePerm))
}

const dirVariable = "LOCK_TEST_DIR"

// TestHolder is the process that TestTheKernelFreesTheLockOfTheDead kills.
func TestHolder(t *testing.T) {
	dir := os.Getenv(dirVariable)
	if dir == "" {
		return
	}
	_, err := lock.Acquire(t.Context(), dir, "10.0.0.9", me("web"), nil)
	require.NoError(t, err)
	fmt.Println("held")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

func TestTheKernelFreesTheLockOfTheDead(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHolder$", "-test.v")
	cmd.Env = append(os.Environ(), dirVariable+"="+dir)
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "held"; {
	}
	var holder lock.Holder
	l, err := lock.Acquire(t.Context(), dir, "10.0.0.9", me("db"), func(h lock.Holder) {
		holder = h
		assert.NoError(t, cmd.Process.Kill())
	})
	require.NoError(t, err)
	assert.Equal(t, cmd.Process.Pid, holder.PID)
	require.NoError(t, l.Release())
	require.Error(t, cmd.Wait())
}
