package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// Undo records what an instance creates on a hypervisor. Each step is recorded before
// it is taken, so that the record is always complete. Undoing a step that was not taken
// must succeed.
type Undo struct {
	mu    sync.Mutex
	steps []undoStep
}

// undoStep removes one thing. It gets a connection, as the connection over which the
// thing was created may be lost.
type undoStep struct {
	name  string // as in "domain overcast-web-1f3a"
	do    func(context.Context, *libvirt.Connect) error
	local bool // it concerns only this process
}

// Record records what is about to be created and how to remove it. The removal of
// something that does not exist must succeed.
func (u *Undo) Record(what string, do func(context.Context, *libvirt.Connect) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, undoStep{name: what, do: do})
}

// RecordLocal records something that belongs to this process only, such as a lock.
func (u *Undo) RecordLocal(what string, do func() error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, undoStep{name: what, local: true, do: func(context.Context, *libvirt.Connect) error { return do() }})
}

// Empty reports whether there is nothing to undo.
func (u *Undo) Empty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.steps) == 0
}

// Forget removes the steps on the hypervisor from the record, and undoes those that
// concern only this process.
func (u *Undo) Forget(ctx context.Context) error {
	u.mu.Lock()
	u.steps = slices.DeleteFunc(u.steps, func(s undoStep) bool { return !s.local })
	u.mu.Unlock()
	return u.Run(ctx, nil)
}

// RecordVolume records a volume that is about to be created.
func (u *Undo) RecordVolume(v VolumeRef) {
	u.Record(v.String(), func(_ context.Context, conn *libvirt.Connect) error { return DeleteVolume(conn, v.Pool, v.Name) })
}

// ForgetVolume removes a volume from the record: it stays.
func (u *Undo) ForgetVolume(v VolumeRef) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = slices.DeleteFunc(u.steps, func(s undoStep) bool { return s.name == v.String() })
}

// Run undoes all steps in reverse order. A step that fails, or has not ended when ctx
// ends, does not stop the others: it stays recorded, and the next Run tries it again.
func (u *Undo) Run(ctx context.Context, conn *libvirt.Connect) error {
	var failed []undoStep
	var errs []error
	for {
		last, ok := u.last()
		if !ok {
			break
		}
		err := trace.Do(ctx, "remove "+last.name, func() error {
			return virt.WithContext(ctx, conn, func() error { return last.do(ctx, conn) })
		})
		if err != nil {
			failed = append(failed, last)
			errs = append(errs, fmt.Errorf("removing %s: %w", last.name, virt.StripCodes(err)))
		}
	}
	slices.Reverse(failed)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(failed, u.steps...)
	return errors.Join(errs...)
}

// last removes the last step from the record and returns it.
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
