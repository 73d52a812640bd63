package libvirt

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"libvirt.org/go/libvirt"
)

// undo is the record of what an instance makes on a hypervisor. A step is
// recorded before it is taken, so that nothing is ever there that the record
// does not know; undoing a step that was never taken must be harmless.
type undo struct {
	mu    sync.Mutex
	steps []undoStep
}

// undoStep takes one thing away. It is handed the connection to do it over,
// as the one that the thing was made over may be lost.
type undoStep struct {
	what string // as in "domain overcast-web-1f3a"
	do   func(context.Context, *libvirt.Connect) error
}

// record notes what is about to be made and how to take it away. Taking away
// what is not there, or no longer, is success.
func (u *undo) record(what string, do func(context.Context, *libvirt.Connect) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, undoStep{what, do})
}

// empty says whether there is nothing to undo.
func (u *undo) empty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.steps) == 0
}

// run undoes every step, the last one first. A step that fails does not stop
// those before it; it stays recorded, so that running again tries it again.
func (u *undo) run(ctx context.Context, conn *libvirt.Connect) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var failed []undoStep
	var errs []error
	for len(u.steps) > 0 {
		last := u.steps[len(u.steps)-1]
		u.steps = u.steps[:len(u.steps)-1]
		if err := last.do(ctx, conn); err != nil {
			failed = append([]undoStep{last}, failed...)
			errs = append(errs, fmt.Errorf("removing %s: %w", last.what, said(err)))
		}
	}
	u.steps = failed
	return errors.Join(errs...)
}
