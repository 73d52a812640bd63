package host

import (
	"context"
	"errors"
	"testing"

	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unsavable are checkpoints of a machine that cannot save its state.
type unsavable struct {
	provider.Checkpoints
	limited bool // Delete had a deadline
}

var errUnsavable = errors.New("the pool is full")

func (*unsavable) Freeze(context.Context) error       { return nil }
func (*unsavable) Save(context.Context, string) error { return errUnsavable }
func (*unsavable) Thaw(context.Context) error         { return nil }

func (u *unsavable) Delete(ctx context.Context, _ string) error {
	_, u.limited = ctx.Deadline()
	return nil
}

func TestDeletingAStateThatWasNotSavedHasALimit(t *testing.T) {
	at := &unsavable{}
	c := cut{{entry: &entry{label: "web"}, host: newHost(&readyMachine{settings: provider.DefaultSettings()}), at: at}}
	require.ErrorIs(t, c.save(t.Context(), "a"), errUnsavable)
	assert.True(t, at.limited, "the hypervisor may not answer")
}
