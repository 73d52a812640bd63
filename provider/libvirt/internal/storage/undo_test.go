package storage

import (
	"context"
	"errors"
	"testing"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

func TestUndoRunsInReverseOrderAndKeepsFailedSteps(t *testing.T) {
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
	var u Undo
	for _, what := range []string{"first", "second", "third"} {
		u.Record(what, step(what))
	}
	err := u.Run(t.Context(), nil)
	require.ErrorIs(t, err, stuck)
	assert.Equal(t, "removing second: it is in use", err.Error())
	assert.Equal(t, []string{"third", "second", "first"}, done, "a failed step does not stop the others")

	done, failing = nil, false
	require.NoError(t, u.Run(t.Context(), nil))
	assert.Equal(t, []string{"second"}, done, "only the failed step runs again")
	assert.True(t, u.Empty())
	done = nil
	require.NoError(t, u.Run(t.Context(), nil))
	assert.Empty(t, done)
}

func TestPanicInAStepDoesNotStopTheOthers(t *testing.T) {
	var u Undo
	undone := false
	u.Record("first", func(context.Context, *libvirt.Connect) error { undone = true; return nil })
	u.Record("second", func(context.Context, *libvirt.Connect) error { panic("a mistake") })
	var panicked *recovered.PanicError
	require.ErrorAs(t, u.Run(t.Context(), nil), &panicked)
	assert.True(t, undone)
	assert.False(t, u.Empty(), "the failed step is kept")
}
