//go:build unix

package lock_test

import (
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/lock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// others are processes that come one after another, all of them this one.
type others struct {
	t   *testing.T
	dir string
	now time.Time
}

func (o *others) joins(who, line string, holds ...string) *lock.Ticket {
	o.t.Helper()
	o.now = o.now.Add(time.Second)
	ticket, err := lock.Join(o.t.Context(), o.dir, line, lock.Holder{PID: 1, Label: line, Run: who, Since: o.now, Holds: holds})
	require.NoError(o.t, err)
	o.t.Cleanup(func() { _ = ticket.Leave() })
	return ticket
}

func circle(t *testing.T, ticket *lock.Ticket) (names []string) {
	t.Helper()
	others, err := ticket.Circle()
	require.NoError(t, err)
	for _, other := range others {
		names = append(names, other.Run+" waits for "+other.Label)
	}
	return names
}

func TestOnlyTheLastOfACircleIsTold(t *testing.T) {
	o := &others{t: t, dir: t.TempDir()}
	for n, line := range []string{"a", "b", "c"} {
		o.joins(string(rune('1'+n)), line)
	}
	first := o.joins("1", "b", "a")
	second := o.joins("2", "c", "b")
	assert.Empty(t, circle(t, first))
	assert.Empty(t, circle(t, second), "that is a line, and no circle")
	o.joins("bystander", "a")
	third := o.joins("3", "a", "c")
	assert.Empty(t, circle(t, first))
	assert.Empty(t, circle(t, second))
	assert.Equal(t, []string{"1 waits for b", "2 waits for c"}, circle(t, third))
	require.NoError(t, second.Leave())
	assert.Empty(t, circle(t, third))
}

func TestNobodyWhoHasNothingIsInACircle(t *testing.T) {
	o := &others{t: t, dir: t.TempDir()}
	o.joins("1", "a")
	o.joins("1", "b", "a")
	assert.Empty(t, circle(t, o.joins("2", "a")))
	assert.Empty(t, circle(t, o.joins("3", "c", "line that is not there")))
}

// Somebody who is only behind in a line of another circle does not keep those in
// the circle from being told.
func TestALaterBystanderChangesNothing(t *testing.T) {
	o := &others{t: t, dir: t.TempDir()}
	o.joins("1", "a")
	o.joins("2", "b")
	o.joins("1", "b", "a")
	second := o.joins("2", "a", "b")
	o.joins("bystander", "a", "z")
	assert.Equal(t, []string{"1 waits for b"}, circle(t, second))
}
