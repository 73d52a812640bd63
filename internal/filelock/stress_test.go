//go:build unix

package filelock_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Size of the stress test: it made a defect visible that hit 16 of 8,820 joins.
const (
	stressWorkers = 6
	stressJoins   = 800 // of each worker
	stressReaders = 3
)

// Readers lock tickets for a moment, to see whether their owners live. That must not
// make a join fail, and no ticket may get lost.
func TestJoinsSucceedWhileOthersReadTheQueue(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	var readers, workers sync.WaitGroup
	for range stressReaders {
		readers.Go(func() {
			searcher := me("reader")
			searcher.Holds = []string{"web"}
			ticket, err := filelock.Join(t.Context(), dir, "db", searcher)
			if !assert.NoError(t, err) {
				return
			}
			// The search for deadlocks reads all tickets of the queue, without its lock.
			for ctx.Err() == nil {
				_, err := ticket.FindDeadlock()
				assert.NoError(t, err)
			}
			assert.NoError(t, ticket.Release())
		})
	}
	for range stressWorkers {
		workers.Go(func() {
			for range stressJoins {
				ticket, err := filelock.Join(t.Context(), dir, "web", me("worker"))
				if !assert.NoError(t, err) {
					return
				}
				assert.NoError(t, ticket.Release())
			}
		})
	}
	workers.Wait()
	stop()
	readers.Wait()
	first, err := filelock.Join(t.Context(), dir, "web", me("first"))
	require.NoError(t, err)
	ahead, err := first.Ahead()
	require.NoError(t, err)
	assert.Empty(t, ahead, "every ticket was released")
	require.NoError(t, first.Release())
}

// Whatever the number of others that join, one at a time holds the lock.
func TestAcquireLetsInOneHolderUnderStress(t *testing.T) {
	dir := t.TempDir()
	var inside, entered atomic.Int32
	var workers sync.WaitGroup
	for range stressWorkers {
		workers.Go(func() {
			for range stressJoins / 50 {
				ticket, err := filelock.Acquire(t.Context(), dir, "10.0.0.9", me("worker"), nil)
				if !assert.NoError(t, err) {
					return
				}
				assert.EqualValues(t, 1, inside.Add(1))
				entered.Add(1)
				inside.Add(-1)
				assert.NoError(t, ticket.Release())
			}
		})
	}
	workers.Wait()
	assert.EqualValues(t, stressWorkers*(stressJoins/50), entered.Load())
}
