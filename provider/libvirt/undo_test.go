package libvirt

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

func TestUndoGoesBackwardsAndKeepsWhatFails(t *testing.T) {
	var done []string
	stuck := errors.New("it is in use")
	failing := true
	step := func(what string) func(context.Context, *libvirt.Connect) error {
		return func(context.Context, *libvirt.Connect) error {
			done = append(done, what)
			if what == "second" && failing {
				return stuck
			}
			return nil
		}
	}
	var u undo
	for _, what := range []string{"first", "second", "third"} {
		u.record(what, step(what))
	}
	err := u.run(t.Context(), nil)
	require.ErrorIs(t, err, stuck)
	assert.Equal(t, "removing second: it is in use", err.Error())
	assert.Equal(t, []string{"third", "second", "first"}, done, "a step that fails stops no other")

	done, failing = nil, false
	require.NoError(t, u.run(t.Context(), nil))
	assert.Equal(t, []string{"second"}, done, "only what is left is tried again")
	assert.True(t, u.empty())
	done = nil
	require.NoError(t, u.run(t.Context(), nil))
	assert.Empty(t, done)
}

func TestUndoingThatPanicsStopsNoOtherStep(t *testing.T) {
	var u undo
	undone := false
	u.record("first", func(context.Context, *libvirt.Connect) error { undone = true; return nil })
	u.record("second", func(context.Context, *libvirt.Connect) error { panic("a mistake") })
	requirePanic(t, u.run(t.Context(), nil))
	assert.True(t, undone)
	assert.False(t, u.empty(), "what failed is tried again")
}
