package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/internal/mark"
	"github.com/overcast-go/overcast/internal/shell"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
)

// useWarm has an instance start from saved memory, if the settings ask for that.
func (r *recipes) useWarm(ctx context.Context, p Prepared) error {
	if !p.Common().WarmPolicy() {
		return nil
	}
	starter, ok := p.Instance.(provider.WarmStarter)
	if !ok {
		return p.Section.Invalid("warm", "needs a host whose provider can save its memory: remove it")
	}
	recipe, err := r.of(ctx, p.Common().Provision)
	if err == nil {
		starter.UseWarm(fmt.Sprintf("%s before %q", recipe, p.Common().Warm.Before), p.Common().RefreshesCache())
	}
	return err
}

// slot returns the slot of the host and whether the host was restored from it.
func (h *Host) slot() (slot int, restored, ok bool) {
	if w, can := h.instance.(provider.WarmStarter); can {
		return w.WarmSlot()
	}
	return 0, false, false
}

// IsRestored reports whether the host was restored from memory, also right after that was saved.
func (h *Host) IsRestored() bool {
	_, restored, _ := h.slot()
	return restored
}

// saveMemory saves the memory of a host that has booted and is to be warm, and continues with
// the restored host. If the memory cannot be saved, or a restored host could not set its clock,
// it continues with the host as it is.
func (h *Host) saveMemory(ctx context.Context, began time.Time) error {
	slot, restored, ok := h.slot()
	if !ok || restored {
		return nil
	}
	took := time.Since(began)
	if err := h.setClock(ctx); err != nil {
		provider.Report(ctx, provider.StepNotWarm, err.Error())
		return context.Cause(ctx)
	}
	err := h.prepareMemory(ctx)
	if err == nil {
		err = h.instance.(provider.WarmStarter).SaveMemory(ctx, took)
	}
	if ctx.Err() != nil || errors.Is(err, provider.ErrNotRestored) {
		return err
	}
	if err != nil {
		if _, outage := provider.OutageOf(h.instance); outage != nil {
			return mark.As(err, provider.ErrNotRestored) // it must boot again
		}
		provider.Report(ctx, provider.StepNotWarm, err.Error())
		return h.continueUnsaved(ctx)
	}
	provider.Report(ctx, provider.StepSavedMemory, provider.SlotName(slot))
	return h.makeReadyWatched(ctx)
}

// continueUnsaved reverses prepareMemory on a host whose memory was not saved. If warm.after
// fails, the host must boot again.
func (h *Host) continueUnsaved(ctx context.Context) error {
	if h.settings.Warm.Before == "" {
		return h.mountFolders(ctx)
	}
	if err := h.runAfter(ctx); err != nil {
		return mark.As(err, provider.ErrNotRestored)
	}
	if err := h.mountFolders(ctx); err != nil {
		return err
	}
	return h.awaitConditions(ctx)
}

// prepareMemory leaves nothing in the memory that a restored system could not use: data that
// is not on disk, mounted folders and connections.
func (h *Host) prepareMemory(ctx context.Context) error {
	if before := h.settings.Warm.Before; before != "" {
		if err := h.runHook(ctx, "warm.before", before); err != nil {
			return err
		}
	}
	if err := h.runHook(ctx, "sync before the memory is saved", "sync"); err != nil {
		return err
	}
	h.unmountFolders(ctx)
	return h.dropConnection(ctx)
}

// wake makes a restored system ready: its clock has stopped while it was saved.
func (h *Host) wake(ctx context.Context) error {
	if err := h.setClock(ctx); err != nil {
		return fmt.Errorf("after restoring the memory: %w", err)
	}
	return h.runAfter(ctx)
}

func (h *Host) runAfter(ctx context.Context) error {
	if after := h.settings.Warm.After; after != "" {
		return h.runHook(ctx, "warm.after", after)
	}
	return nil
}

// runHook runs a command with the number of the slot, for provision.timeout at most.
func (h *Host) runHook(ctx context.Context, what, command string) error {
	limit := h.settings.Provision.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("provision.timeout of %v expired", limit))
	defer cancel()
	slot, _, _ := h.slot()
	command = fmt.Sprintf("%s=%d sh -c %s", provider.SlotVariable, slot, shell.Quote(command))
	err := trace.Do(ctx, "run "+what, func() error { return h.runAsProvisioner(ctx, command) })
	if err != nil {
		return fmt.Errorf("running %s: %w", what, err)
	}
	return nil
}

// blamesMemory reports whether the failure of a set-up from saved memory may be the fault of
// the memory. Another machine may have got the address in the meantime.
func (h *Host) blamesMemory(err error) bool {
	return errors.Is(err, provider.ErrAddressConflict) || h.blamesLayer(err)
}
