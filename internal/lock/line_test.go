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

	"github.com/overcast-go/overcast/internal/lock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// first is who has nobody ahead.
func first(ahead []lock.Holder) (bool, error) { return len(ahead) == 0, nil }

func labels(holders []lock.Holder) (list []string) {
	for _, h := range holders {
		list = append(list, h.Label)
	}
	return list
}

func join(t *testing.T, dir, label string) *lock.Ticket {
	t.Helper()
	ticket, err := lock.Join(t.Context(), dir, "web", me(label))
	require.NoError(t, err)
	return ticket
}

func TestALineIsInOrderOfArrival(t *testing.T) {
	dir := t.TempDir()
	a, b, c := join(t, dir, "a"), join(t, dir, "b"), join(t, dir, "c")
	ahead, err := c.Ahead()
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, labels(ahead))
	require.NoError(t, a.Await(t.Context(), first))

	require.NoError(t, b.Leave(), "somebody who has not had a turn")
	ahead, err = c.Ahead()
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, labels(ahead))

	d := join(t, dir, "d")
	require.NoError(t, b.Leave(), "again")
	ahead, err = d.Ahead()
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "c"}, labels(ahead))

	require.NoError(t, a.Leave())
	require.NoError(t, c.Await(t.Context(), first))
	require.NoError(t, c.Leave())
	require.NoError(t, d.Await(t.Context(), first))
	require.NoError(t, d.Leave())
	left, err := filepath.Glob(filepath.Join(dir, "web.line", "*.ticket"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestOneOfALineIsFirst(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var inside, most, turns int
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for range 10 {
				ticket, err := lock.Join(t.Context(), dir, "web", me(fmt.Sprint(n)))
				if !assert.NoError(t, err) || !assert.NoError(t, ticket.Await(t.Context(), first)) {
					return
				}
				mu.Lock()
				inside++
				turns++
				most = max(most, inside)
				mu.Unlock()
				mu.Lock()
				inside--
				mu.Unlock()
				assert.NoError(t, ticket.Leave())
			}
		})
	}
	all.Wait()
	assert.Equal(t, 1, most)
	assert.Equal(t, 80, turns)
}

func TestAWaitInALineEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	join(t, dir, "a")
	b := join(t, dir, "b")
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("the spec is over")
	var seen []string
	err := b.Await(ctx, func(ahead []lock.Holder) (bool, error) {
		seen = labels(ahead)
		cancel(over)
		return first(ahead)
	})
	require.ErrorIs(t, err, over)
	assert.Equal(t, []string{"a"}, seen)
	broken := errors.New("cannot tell")
	require.ErrorIs(t, b.Await(t.Context(), func([]lock.Holder) (bool, error) { return false, broken }), broken)
}

// TestStander is the process that TestTheDeadStandInNoLine kills.
func TestStander(t *testing.T) {
	dir := os.Getenv(dirVariable)
	if dir == "" {
		return
	}
	_, err := lock.Join(t.Context(), dir, "web", me("dead"))
	require.NoError(t, err)
	fmt.Println("held")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

func TestTheDeadStandInNoLine(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestStander$", "-test.v")
	cmd.Env = append(os.Environ(), dirVariable+"="+dir)
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "held"; {
	}
	b := join(t, dir, "b")
	require.NoError(t, b.Await(t.Context(), func(ahead []lock.Holder) (bool, error) {
		if len(ahead) == 1 {
			assert.Equal(t, cmd.Process.Pid, ahead[0].PID)
			assert.NoError(t, cmd.Process.Kill())
		}
		return len(ahead) == 0, nil
	}))
	require.Error(t, cmd.Wait())
	c := join(t, dir, "c") // which sweeps
	left, err := filepath.Glob(filepath.Join(dir, "web.line", "*.ticket"))
	require.NoError(t, err)
	assert.Len(t, left, 2)
	require.NoError(t, b.Leave())
	require.NoError(t, c.Leave())
}
