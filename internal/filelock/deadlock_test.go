//go:build unix

package filelock_test

import (
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// processes plays several processes that join queues one after another.
type processes struct {
	t   *testing.T
	dir string
	now time.Time
}

func (p *processes) join(process, queue string, holds ...string) *filelock.Ticket {
	p.t.Helper()
	p.now = p.now.Add(time.Second)
	ticket, err := filelock.Join(p.t.Context(), p.dir, queue, filelock.Holder{PID: 1, Label: queue, Detail: process, Since: p.now, Holds: holds})
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = ticket.Release() })
	return ticket
}

func findDeadlock(t *testing.T, ticket *filelock.Ticket) (names []string) {
	t.Helper()
	holders, err := ticket.FindDeadlock()
	require.NoError(t, err)
	for _, holder := range holders {
		names = append(names, holder.Detail+" waits for "+holder.Label)
	}
	return names
}

func TestOnlyTheLastToJoinFindsADeadlock(t *testing.T) {
	p := &processes{t: t, dir: t.TempDir()}
	for n, queue := range []string{"a", "b", "c"} {
		p.join(string(rune('1'+n)), queue)
	}
	first := p.join("1", "b", "a")
	second := p.join("2", "c", "b")
	assert.Empty(t, findDeadlock(t, first))
	assert.Empty(t, findDeadlock(t, second), "1 waits for 2, which waits for 3: no cycle")
	p.join("bystander", "a")
	third := p.join("3", "a", "c")
	assert.Empty(t, findDeadlock(t, first))
	assert.Empty(t, findDeadlock(t, second))
	assert.Equal(t, []string{"1 waits for b", "2 waits for c"}, findDeadlock(t, third))
	require.NoError(t, second.Release())
	assert.Empty(t, findDeadlock(t, third))
}

func TestAProcessThatHoldsNothingIsInNoDeadlock(t *testing.T) {
	p := &processes{t: t, dir: t.TempDir()}
	p.join("1", "a")
	p.join("1", "b", "a")
	assert.Empty(t, findDeadlock(t, p.join("2", "a")))
	assert.Empty(t, findDeadlock(t, p.join("3", "c", "a queue that does not exist")))
}

// A process that joins later and is in no cycle does not hide the deadlock.
func TestALaterBystanderDoesNotHideADeadlock(t *testing.T) {
	p := &processes{t: t, dir: t.TempDir()}
	p.join("1", "a")
	p.join("2", "b")
	p.join("1", "b", "a")
	second := p.join("2", "a", "b")
	p.join("bystander", "a", "z")
	assert.Equal(t, []string{"1 waits for b"}, findDeadlock(t, second))
}
