package host

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newGate() *gate {
	g := &gate{}
	g.reset()
	return g
}

func TestClosedGateLetsCallsWait(t *testing.T) {
	g := newGate()
	g.close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := g.enter(ended)
	require.ErrorIs(t, err, context.Canceled)

	entered := make(chan error)
	go func() {
		_, leave, err := g.enter(t.Context())
		if err == nil {
			leave()
		}
		entered <- err
	}()
	g.reopen()
	require.NoError(t, <-entered)
	assert.True(t, g.isIdle())
}

func TestNewStateEndsTheCallsOfTheOldOne(t *testing.T) {
	g := newGate()
	inside, leave, err := g.enter(t.Context())
	require.NoError(t, err)
	assert.False(t, g.isIdle())
	g.endState()
	<-inside.Done()
	require.ErrorIs(t, context.Cause(inside), ErrReverted)
	leave()
	inside, leave, err = g.enter(t.Context())
	require.NoError(t, err)
	defer leave()
	require.NoError(t, inside.Err())
}

func TestHostIsCleanUntilItIsUsedOrExposed(t *testing.T) {
	h := &Host{}
	h.gate.reset()
	assert.True(t, h.gate.isClean())
	_, leave, err := h.gate.enter(t.Context())
	require.NoError(t, err)
	h.gate.setClean()
	assert.False(t, h.gate.isClean(), "a call is in progress")
	leave()
	h.gate.setClean()
	assert.True(t, h.gate.isClean())
	h.gate.touch()
	assert.False(t, h.gate.isClean(), "its state is another one")
	h.gate.setClean()
	assert.True(t, h.gate.isClean())
	h.Expose()
	h.gate.setClean()
	assert.False(t, h.gate.isClean(), "its address may be used")
}
