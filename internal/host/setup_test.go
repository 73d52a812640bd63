package host

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reserver is a provider that records reservations.
type reserver struct {
	name    string
	err     error
	waiting chan struct{} // closed when Reserve may go on; nil: at once

	mu      sync.Mutex
	batches [][]string
}

func (r *reserver) Keys() []string { return nil }

func (r *reserver) Instance(string, *hocon.Value) (provider.Instance, error) {
	return nil, errors.ErrUnsupported
}

func (r *reserver) Reserve(ctx context.Context, batch []provider.Instance, queued func()) error {
	var addresses []string
	for _, i := range batch {
		addresses = append(addresses, i.Address())
	}
	r.mu.Lock()
	r.batches = append(r.batches, addresses)
	r.mu.Unlock()
	provider.Report(ctx, "waiting for memory", "of the test")
	queued()
	if r.waiting != nil {
		<-r.waiting
	}
	return r.err
}

// tracked is a host that records its set-up and teardown.
type tracked struct {
	machine
	mu     sync.Mutex
	events []string
	setUp  error
}

func (h *tracked) SetUp(context.Context) error    { h.add("set up"); return h.setUp }
func (h *tracked) TearDown(context.Context) error { h.add("tear down"); return nil }

func (h *tracked) add(event string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
}

// preparer prepares tracked hosts of one provider.
func preparer(p *reserver, hosts map[string]*tracked) Preparer {
	return func(label string) (Prepared, error) {
		h, ok := hosts[label]
		if !ok {
			return Prepared{}, errors.New("no such host")
		}
		h.Settings, h.hostname = provider.DefaultSettings(), label
		return Prepared{Instance: h, Provider: p, ProviderName: p.name}, nil
	}
}

func TestBatchIsReservedTogether(t *testing.T) {
	p, hosts := &reserver{name: "test"}, map[string]*tracked{"a": {}, "b": {}}
	r := NewRegistry()
	var steps []string
	var mu sync.Mutex
	ctx := WithProgress(t.Context(), func(step provider.Progress) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, step.Label+": "+step.Step)
	})
	queued := 0
	options := SetupOptions{Queued: func() { queued++ }}
	require.NoError(t, r.SetUp(ctx, []string{"b", "a", "b"}, preparer(p, hosts), options))
	assert.Equal(t, [][]string{{"a", "b"}}, p.batches)
	assert.Equal(t, "a, b: waiting for memory", steps[0], "one line for a step that hosts take together")
	assert.Equal(t, 1, queued)
	assert.NotNil(t, r.Get("a"))
	require.NoError(t, r.SetUp(ctx, []string{"a", "b"}, preparer(p, hosts), options))
	assert.Len(t, p.batches, 1, "hosts that are up are left alone")
	assert.Equal(t, 2, queued, "also called when there is nothing to reserve")
}

func TestStatusOfEveryHostShowsWhatTheBatchWaitsFor(t *testing.T) {
	p, hosts := &reserver{name: "test", waiting: make(chan struct{})}, map[string]*tracked{"a": {}, "b": {}}
	r := NewRegistry()
	queued, done := make(chan struct{}), make(chan error)
	go func() {
		done <- r.SetUp(t.Context(), []string{"a", "b"}, preparer(p, hosts), SetupOptions{Queued: func() { close(queued) }})
	}()
	<-queued
	for _, label := range []string{"a", "b"} {
		assert.Equal(t, "waiting for memory", r.Status(label, 1).Step)
	}
	close(p.waiting)
	require.NoError(t, <-done)
}

func TestNothingIsCreatedIfTheReservationFails(t *testing.T) {
	full := errors.New("not enough memory")
	p, hosts := &reserver{name: "test", err: full}, map[string]*tracked{"a": {}, "b": {}}
	r := NewRegistry()
	err := r.SetUp(t.Context(), []string{"a", "b"}, preparer(p, hosts), SetupOptions{})
	require.ErrorIs(t, err, full)
	assert.ErrorContains(t, err, "setting up a, b: ")
	for label, h := range hosts {
		assert.Equal(t, []string{"tear down"}, h.events, "releases what was reserved")
		assert.Nil(t, r.Get(label))
	}
}

func TestNothingIsCreatedIfAHostCannotBePrepared(t *testing.T) {
	p, hosts := &reserver{name: "test"}, map[string]*tracked{"a": {}}
	r := NewRegistry()
	err := r.SetUp(t.Context(), []string{"a", "unknown", "other"}, preparer(p, hosts), SetupOptions{})
	require.ErrorContains(t, err, "setting up unknown: no such host")
	require.ErrorContains(t, err, "setting up other: no such host")
	assert.Empty(t, hosts["a"].events)
	assert.Empty(t, p.batches)
	assert.Equal(t, Status{Label: "a"}, r.Status("a", 1))
}

func TestAHostThatFailsDoesNotStopTheOthers(t *testing.T) {
	broken := errors.New("no disk")
	p, hosts := &reserver{name: "test"}, map[string]*tracked{"a": {setUp: broken}, "b": {}}
	r := NewRegistry()
	require.ErrorIs(t, r.SetUp(t.Context(), []string{"a", "b"}, preparer(p, hosts), SetupOptions{}), broken)
	assert.Equal(t, []string{"set up", "tear down"}, hosts["a"].events)
	assert.NotNil(t, r.Get("b"))
}

// Batches with common hosts, in different orders, wait for each other without a
// deadlock.
func TestBatchesWithCommonHosts(t *testing.T) {
	p, hosts := &reserver{name: "test"}, map[string]*tracked{"a": {}, "b": {}, "c": {}}
	r := NewRegistry()
	var all sync.WaitGroup
	for range 8 {
		for _, labels := range [][]string{{"a", "b", "c"}, {"c", "b"}, {"b", "a"}} {
			all.Go(func() {
				assert.NoError(t, r.SetUp(t.Context(), labels, preparer(p, hosts), SetupOptions{}))
			})
		}
	}
	all.Wait()
	for _, h := range hosts {
		assert.Equal(t, []string{"set up"}, h.events)
	}
}
