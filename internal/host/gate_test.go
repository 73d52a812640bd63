package host

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/overcast-go/overcast/provider"
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
	_, err := g.enter(ended)
	require.ErrorIs(t, err, context.Canceled)

	entered := make(chan error)
	go func() {
		v, err := g.enter(t.Context())
		if err == nil {
			v.leave()
		}
		entered <- err
	}()
	g.reopen()
	require.NoError(t, <-entered)
	assert.True(t, g.isIdle())
}

func TestNewStateEndsTheCallsOfTheOldOne(t *testing.T) {
	g := newGate()
	v, err := g.enter(t.Context())
	require.NoError(t, err)
	assert.False(t, g.isIdle())
	assert.False(t, v.isReverted())
	g.endState()
	assert.True(t, v.isReverted())
	<-v.inside.Done()
	require.ErrorIs(t, context.Cause(v.inside), ErrReverted)
	v.leave()
	v, err = g.enter(t.Context())
	require.NoError(t, err)
	defer v.leave()
	require.NoError(t, v.inside.Err())
}

func TestCallFailsWithErrRevertedBeforeItsContextEnds(t *testing.T) {
	h := newHost(&machine{provider.DefaultSettings(), "127.0.0.1"})
	for range 100 {
		err := h.use(t.Context(), func(context.Context) error {
			h.gate.endState()
			return errors.New("connection closed")
		})
		require.ErrorIs(t, err, ErrReverted)
	}
}

func TestHostIsCleanUntilItIsUsedOrExposed(t *testing.T) {
	h := &Host{}
	h.gate.reset()
	assert.True(t, h.gate.isClean())
	v, err := h.gate.enter(t.Context())
	require.NoError(t, err)
	h.gate.setClean()
	assert.False(t, h.gate.isClean(), "a call is in progress")
	v.leave()
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
