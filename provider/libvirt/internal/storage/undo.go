package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// undo is the record of what an instance makes on a hypervisor. A step is
// recorded before it is taken, so that nothing is ever there that the record
// does not know; undoing a step that was never taken must be harmless.
type Undo struct {
	mu    sync.Mutex
	steps []undoStep
}

// undoStep takes one thing away. It is handed the connection to do it over,
// as the one that the thing was made over may be lost.
type undoStep struct {
	what string // as in "domain overcast-web-1f3a"
	do   func(context.Context, *libvirt.Connect) error
	here bool // it is about this process, and not about the hypervisor
}

// record notes what is about to be made and how to take it away. Taking away
// what is not there, or no longer, is success.
func (u *Undo) Record(what string, do func(context.Context, *libvirt.Connect) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, undoStep{what: what, do: do})
}

// recordHere notes something that only this process has, such as a lock.
func (u *Undo) RecordHere(what string, do func() error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, undoStep{what: what, here: true, do: func(context.Context, *libvirt.Connect) error { return do() }})
}

// empty says whether there is nothing to undo.
func (u *Undo) Empty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.steps) == 0
}

// forget leaves what was made on the hypervisor where it is; what only this
// process has is still undone.
func (u *Undo) Forget(ctx context.Context) error {
	u.mu.Lock()
	u.steps = slices.DeleteFunc(u.steps, func(s undoStep) bool { return !s.here })
	u.mu.Unlock()
	return u.Run(ctx, nil)
}

// run undoes every step, the last one first. A step that fails, or is not over
// when ctx ends, does not stop those before it; it stays recorded, so that
// running again tries it again.
func (u *Undo) Run(ctx context.Context, conn *libvirt.Connect) error {
	var failed []undoStep
	var errs []error
	for {
		last, ok := u.last()
		if !ok {
			break
		}
		if err := virt.WithContext(ctx, conn, func() error { return last.do(ctx, conn) }); err != nil {
			failed = append(failed, last)
			errs = append(errs, fmt.Errorf("removing %s: %w", last.what, virt.StripCodes(err)))
		}
	}
	slices.Reverse(failed)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(failed, u.steps...)
	return errors.Join(errs...)
}

// last takes the last step off the record.
func (u *Undo) last() (step undoStep, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.steps) == 0 {
		return undoStep{}, false
	}
	step = u.steps[len(u.steps)-1]
	u.steps = u.steps[:len(u.steps)-1]
	return step, true
}
