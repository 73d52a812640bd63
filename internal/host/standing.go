package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/overcast-go/overcast/internal/standing"
	"github.com/overcast-go/overcast/provider"
)

// StepAttached is the step of a set-up that uses a host that stays up.
const StepAttached = "attached"

// attachStanding makes the host that "overcast up" has set up with the same
// configuration the one that is up here, if the settings ask for that and no other
// process uses it.
func (e *entry) attachStanding(ctx context.Context, prepared Prepared) (bool, error) {
	if !prepared.Common().AttachPolicy() {
		return false, nil
	}
	name, err := standing.Name(e.label, prepared.Section)
	if err != nil {
		return false, err
	}
	record, err := standing.Find(name)
	if err != nil || record == nil {
		return false, err
	}
	release, ok, err := record.Use()
	if err != nil || !ok {
		return false, err
	}
	shared, err := sharedHostOf(record)
	if err == nil {
		err = e.adopt(ctx, &adopted{prepared: prepared.Instance, shared: shared, release: release})
	}
	if err != nil {
		release()
		return false, err
	}
	newProgress(ctx, e.label).report(StepAttached, fmt.Sprintf("%s, up since %s", shared.Address, record.Since.Format("15:04:05")))
	return true, nil
}

func sharedHostOf(record *standing.Record) (sharedHost, error) {
	var shared sharedHosts
	if err := json.Unmarshal(record.Shared, &shared); err != nil {
		return sharedHost{}, fmt.Errorf("reading the record of %s: %w", record.Label, err)
	}
	if shared.Version != sharedHostsVersion {
		return sharedHost{}, fmt.Errorf("%s was set up by another version of overcast: overcast down %s", record.Label, record.Label)
	}
	return shared.Hosts[record.Label], nil
}

// ErrNotRunning means that no running host of a label was found.
var ErrNotRunning = errors.New("no running host")

// Reach makes a running host of a label usable in this process, whatever process has
// set it up: the one that "overcast up" has set up, else the newest that the provider
// finds, else an existing machine. TearDown then only forgets it.
func (r *Registry) Reach(ctx context.Context, label string, prepare Preparer) (*Host, error) {
	e := r.entry(label)
	if err := e.acquire(ctx); err != nil {
		return nil, err
	}
	defer e.release()
	prepared, err := prepare(label)
	if err != nil {
		return nil, err
	}
	shared, err := e.running(ctx, prepared)
	if err != nil {
		return nil, err
	}
	if err := e.adopt(ctx, &adopted{prepared: prepared.Instance, shared: shared}); err != nil {
		return nil, fmt.Errorf("reaching %s: %w", label, err)
	}
	return e.get(), nil
}

// running finds a running host of the label.
func (e *entry) running(ctx context.Context, prepared Prepared) (sharedHost, error) {
	if p, ok := prepared.Instance.(provider.Persistent); ok && p.IsPersistent() {
		return sharedHost{Address: prepared.Address()}, nil
	}
	name, err := standing.Name(e.label, prepared.Section)
	if err != nil {
		return sharedHost{}, err
	}
	if record, err := standing.Find(name); err != nil || record != nil {
		if err != nil {
			return sharedHost{}, err
		}
		return sharedHostOf(record)
	}
	finder, ok := prepared.Instance.(provider.Finder)
	if !ok {
		return sharedHost{}, fmt.Errorf("finding %s: its provider cannot find running hosts", e.label)
	}
	found, err := finder.Find(ctx)
	if err != nil {
		return sharedHost{}, err
	}
	for _, f := range found {
		if f.Address != "" {
			return sharedHost{Address: f.Address, ID: f.ID}, nil
		}
	}
	if len(found) > 0 {
		return sharedHost{}, fmt.Errorf("finding %s: domain %s runs and its address is not known yet: %w with an address", e.label, found[0].ID, ErrNotRunning)
	}
	return sharedHost{}, fmt.Errorf("finding %s: %w: overcast up %s starts one", e.label, ErrNotRunning, e.label)
}

// ID identifies the host to other processes: for a clone, the name of its domain.
func (h *Host) ID() string {
	switch i := h.instance.(type) {
	case *attached:
		return i.shared.ID
	case *adopted:
		return i.shared.ID
	case provider.Attacher:
		return i.ID()
	}
	return ""
}
