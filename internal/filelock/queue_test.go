//go:build unix

package filelock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// isFirst is the condition that no ticket is ahead.
func isFirst(ahead []filelock.Holder) (bool, error) { return len(ahead) == 0, nil }

func labels(holders []filelock.Holder) (list []string) {
	for _, h := range holders {
		list = append(list, h.Label)
	}
	return list
}

func join(t *testing.T, dir, label string) *filelock.Ticket {
	t.Helper()
	ticket, err := filelock.Join(t.Context(), dir, "web", me(label))
	require.NoError(t, err)
	return ticket
}

func TestAQueueIsInTheOrderOfArrival(t *testing.T) {
	dir := t.TempDir()
	a, b, c := join(t, dir, "a"), join(t, dir, "b"), join(t, dir, "c")
	ahead, err := c.Ahead()
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, labels(ahead))
	require.NoError(t, a.Await(t.Context(), isFirst))

	require.NoError(t, b.Release(), "a ticket that was never first")
	ahead, err = c.Ahead()
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, labels(ahead))

	d := join(t, dir, "d")
	require.NoError(t, b.Release(), "again")
	ahead, err = d.Ahead()
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "c"}, labels(ahead))

	require.NoError(t, a.Release())
	require.NoError(t, c.Await(t.Context(), isFirst))
	require.NoError(t, c.Release())
	require.NoError(t, d.Await(t.Context(), isFirst))
	require.NoError(t, d.Release())
	assert.Empty(t, ticketsIn(t, dir))
}

func TestJoinFirstIsAheadOfAllThatWait(t *testing.T) {
	dir := t.TempDir()
	joinFirst := func(label string) *filelock.Ticket {
		ticket, err := filelock.JoinFirst(t.Context(), dir, "web", me(label))
		require.NoError(t, err)
		return ticket
	}
	first := joinFirst("in an empty queue")
	waiting := join(t, dir, "waiting")
	second := joinFirst("second")
	ahead, err := waiting.Ahead()
	require.NoError(t, err)
	assert.Equal(t, []string{"second", "in an empty queue"}, labels(ahead))
	ahead, err = second.Ahead()
	require.NoError(t, err)
	assert.Empty(t, ahead)
	require.NoError(t, errors.Join(first.Release(), second.Release()))
	require.NoError(t, waiting.Await(t.Context(), isFirst))
	require.NoError(t, waiting.Release())
	assert.Empty(t, ticketsIn(t, dir))
}

func TestOneTicketOfAQueueIsFirst(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	var inside, most, served int
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for range 10 {
				ticket, err := filelock.Join(t.Context(), dir, "web", me(fmt.Sprint(n)))
				if !assert.NoError(t, err) || !assert.NoError(t, ticket.Await(t.Context(), isFirst)) {
					return
				}
				mu.Lock()
				inside++
				served++
				most = max(most, inside)
				mu.Unlock()
				mu.Lock()
				inside--
				mu.Unlock()
				assert.NoError(t, ticket.Release())
			}
		})
	}
	all.Wait()
	assert.Equal(t, 1, most)
	assert.Equal(t, 80, served)
}

func TestAwaitEndsWithItsContextOrWithAnError(t *testing.T) {
	dir := t.TempDir()
	join(t, dir, "a")
	b := join(t, dir, "b")
	ctx, cancel := context.WithCancelCause(t.Context())
	timeout := errors.New("the spec has timed out")
	var seen []string
	err := b.Await(ctx, func(ahead []filelock.Holder) (bool, error) {
		seen = labels(ahead)
		cancel(timeout)
		return isFirst(ahead)
	})
	require.ErrorIs(t, err, timeout)
	assert.Equal(t, []string{"a"}, seen)
	unknown := errors.New("the hypervisor does not answer")
	require.ErrorIs(t, b.Await(t.Context(), func([]filelock.Holder) (bool, error) { return false, unknown }), unknown)
}

// A reader that looks whether tickets are live locks them for a moment.
func TestJoinSucceedsWhileOthersReadTheQueue(t *testing.T) {
	dir := t.TempDir()
	holder := me("reader")
	holder.Holds = []string{"web"}
	reader, err := filelock.Join(t.Context(), dir, "other", holder)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var readers, joiners sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				_, err := reader.FindDeadlock()
				assert.NoError(t, err)
			}
		})
	}
	for n := range 4 {
		joiners.Go(func() {
			for range 250 {
				ticket, err := filelock.Join(t.Context(), dir, "web", me(fmt.Sprint(n)))
				if assert.NoError(t, err) {
					assert.NoError(t, ticket.Release())
				}
			}
		})
	}
	joiners.Wait()
	stop()
	readers.Wait()
}

func TestRemoveQueueRemovesItsFolder(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, join(t, dir, "a").Release())
	require.NoError(t, filelock.RemoveQueue(dir, "web"))
	assert.NoFileExists(t, filepath.Join(dir, "web.queue"))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}
