package host

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/overcast-go/overcast/provider"
)

// Default is the registry of this process.
var Default = NewRegistry()

// Registry has the hosts of a process by their labels.
type Registry struct {
	mu       sync.Mutex
	declared []string // labels that a suite has declared
	// Behind a function, the hosts cannot be printed by assertion libraries that
	// follow every pointer: hosts know passwords.
	entries func() map[string]*entry
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	entries := map[string]*entry{}
	return &Registry{entries: func() map[string]*entry { return entries }}
}

// entry is the place of a label in a registry.
type entry struct {
	label     string
	semaphore chan struct{} // holds a token while the host is set up or torn down

	mu             sync.Mutex
	host           *Host        // nil unless it is up
	failedInstance *Host        // of a set-up that failed and could not be undone
	uses           int          // tests that use the host by Retain
	ownedByUses    bool         // the host was set up for them, so the last one tears it down
	failed         bool         // something that used the host has failed
	prepare        Preparer     // of the last set-up
	allowed        func() error // see Restrict; nil if everything is allowed
	setup          *setup       // the last set-up
	settingUp      bool         // it is in progress
	failure        *Diagnostics // of the last set-up, if it failed and SetupOptions.Diagnose was set
}

// entry returns the entry of a label, which is created if there is none.
func (r *Registry) entry(label string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries()[label]
	if !ok {
		e = &entry{label: label, semaphore: make(chan struct{}, 1)}
		r.entries()[label] = e
	}
	return e
}

// find returns the entry of a label, or nil if there is none.
func (r *Registry) find(label string) *entry {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries()[label]
}

// Get returns the host of a label if it is up, else nil. The registry may be nil.
func (r *Registry) Get(label string) *Host {
	if e := r.find(label); e != nil {
		return e.get()
	}
	return nil
}

// Up is the labels of the hosts that are up, in their order. The registry may be nil.
func (r *Registry) Up() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var labels []string
	for label, e := range r.entries() {
		if e.get() != nil {
			labels = append(labels, label)
		}
	}
	slices.Sort(labels)
	return labels
}

// Declare records labels that a suite declares, for errors about other labels.
func (r *Registry) Declare(labels ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, label := range labels {
		if !slices.Contains(r.declared, label) {
			r.declared = append(r.declared, label)
		}
	}
}

// Declared is the labels that were declared, in their order. The registry may be nil.
func (r *Registry) Declared() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.declared))
}

// getOrPending returns the host that is up or being set up, or nil.
func (e *entry) getOrPending() *Host {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.host == nil && e.settingUp {
		return e.setup.host
	}
	return e.host
}

func (e *entry) get() *Host {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.host
}

// set makes a host the one that is up; nil makes none.
func (e *entry) set(h *Host) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.host, e.allowed = h, nil
}

// acquire waits until no other goroutine sets the host up or tears it down.
func (e *entry) acquire(ctx context.Context) error {
	select {
	case e.semaphore <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *entry) release() { <-e.semaphore }

// acquireAll acquires the entries of labels, each once. They are acquired in
// the order of their labels, so that two batches with common labels cannot
// deadlock.
func (r *Registry) acquireAll(ctx context.Context, labels []string) (entries []*entry, err error) {
	for _, label := range slices.Compact(slices.Sorted(slices.Values(labels))) {
		e := r.entry(label)
		if err := e.acquire(ctx); err != nil {
			releaseAll(entries)
			return nil, fmt.Errorf("setting up %s: waiting for another set-up of it: %w", label, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func releaseAll(entries []*entry) {
	for _, e := range entries {
		e.release()
	}
}

// Restrict registers a function that is called before each use of the host of a label
// in this process. If it returns an error, the use fails with that error. Of several
// functions, one that returns nil is enough. They are removed when the host is torn
// down. Restrict fails if the host is not up.
func (r *Registry) Restrict(label string, allowed func() error) error {
	e := r.entry(label)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.host == nil {
		return &NotSetUpError{Label: label}
	}
	if earlier := e.allowed; earlier != nil {
		e.allowed = func() error {
			if earlier() == nil {
				return nil
			}
			return allowed()
		}
		return nil
	}
	e.allowed = allowed
	return nil
}

// Use returns the host of a label before a use of it. It fails if the host is not up,
// or with the error of the function of [Registry.Restrict].
func (r *Registry) Use(label string) (*Host, error) {
	e := r.find(label)
	if e == nil {
		return nil, &NotSetUpError{Label: label}
	}
	e.mu.Lock()
	h, allowed := e.host, e.allowed
	e.mu.Unlock()
	if h == nil {
		return nil, &NotSetUpError{Label: label}
	}
	if allowed != nil {
		if err := allowed(); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Retain counts a test that uses the host of a label. The label need not be up.
func (r *Registry) Retain(label string) {
	e := r.entry(label)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.uses++
}

// Release ends one use, and tears the host down if it was set up for uses and this
// was the last one.
func (r *Registry) Release(ctx context.Context, label string) error {
	e := r.entry(label)
	e.mu.Lock()
	e.uses--
	e.mu.Unlock()
	return e.tearDown(ctx, e.isUnused)
}

// isUnused reports whether the host was set up for uses that have all ended. The
// caller has acquired the entry: a new use may begin just before.
func (e *entry) isUnused() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.uses == 0 && e.ownedByUses
}

// NoteFailure notes that something that uses the host of a label has failed: the
// host is then kept where keep = "on-failure".
func (r *Registry) NoteFailure(label string) {
	e := r.entry(label)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = true
}

// IsExclusive reports whether only one host like this instance may exist at a
// time.
func IsExclusive(instance provider.Instance) bool {
	e, ok := instance.(provider.Exclusive)
	return ok && e.IsExclusive()
}
