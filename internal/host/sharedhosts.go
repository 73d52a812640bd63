package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/provider"
)

// sharedHostsVersion is the version of the format of [sharedHosts]. All processes of a run
// have the same build, so there is one version at a time.
const sharedHostsVersion = 1

// sharedHosts describes shared hosts to other processes, as JSON. It contains no secrets:
// each process reads the login from the configuration.
type sharedHosts struct {
	Version int                   `json:"version"`
	Hosts   map[string]sharedHost `json:"hosts"`
}

type sharedHost struct {
	Address    string       `json:"address"`
	BaseDomain string       `json:"baseDomain,omitempty"`
	Keys       *hostkey.Pin `json:"hostKey,omitempty"`      // that the host has shown
	KeyKnown   bool         `json:"hostKeyKnown,omitempty"` // Keys has the key that the provider gave the host
	ID         string       `json:"id,omitempty"`           // for provider.Attacher
}

// Share describes hosts that are up in this process, for [Registry.Adopt] in other
// processes. It fails if one of them is not up.
func (r *Registry) Share(labels ...string) ([]byte, error) {
	shared := sharedHosts{Version: sharedHostsVersion, Hosts: map[string]sharedHost{}}
	for _, label := range labels {
		h := r.Get(label)
		if h == nil {
			return nil, &NotSetUpError{Label: label}
		}
		host := sharedHost{Address: h.instance.Address(), BaseDomain: h.BaseDomain()}
		host.Keys, _ = h.keys.(*hostkey.Pin)
		host.KeyKnown = h.keyKnown
		if a, ok := h.instance.(provider.Attacher); ok {
			host.ID = a.ID()
		}
		shared.Hosts[label] = host
	}
	return json.Marshal(shared)
}

// Adopt makes hosts of another process usable in this one. The other process tears them
// down; TearDown in this process only ends their use here. Adopt does not change a host
// that is up in this process.
func (r *Registry) Adopt(ctx context.Context, shared []byte, prepare Preparer) error {
	var adopted sharedHosts
	if err := json.Unmarshal(shared, &adopted); err != nil {
		return fmt.Errorf("reading the shared hosts: %w", err)
	}
	if adopted.Version != sharedHostsVersion {
		return fmt.Errorf("reading the shared hosts: version %d is not %d: all processes of a run need the same build", adopted.Version, sharedHostsVersion)
	}
	for label, host := range adopted.Hosts {
		if err := r.adopt(ctx, label, host, prepare); err != nil {
			return fmt.Errorf("joining %s: %w", label, err)
		}
	}
	return nil
}

func (r *Registry) adopt(ctx context.Context, label string, host sharedHost, prepare Preparer) error {
	e := r.entry(label)
	if err := e.acquire(ctx); err != nil {
		return err
	}
	defer e.release()
	if e.get() != nil {
		return nil
	}
	prepared, err := prepare(label)
	if err != nil {
		return err
	}
	return e.adopt(ctx, &adopted{prepared: prepared.Instance, shared: host})
}

// adopt makes a host of another process the one that is up.
func (e *entry) adopt(ctx context.Context, a *adopted) error {
	instance, err := attach(ctx, a)
	if err != nil {
		return err
	}
	h := newHost(instance)
	if a.shared.Keys != nil {
		h.keys, h.keyKnown = a.shared.Keys, a.shared.KeyKnown
	}
	_, observed := instance.(*attached)
	h.verified.Store(observed) // by the process that has set it up
	h.route.Resolve(ctx)
	e.set(h)
	return nil
}

// attach observes a host from this process, if its provider can.
func attach(ctx context.Context, a *adopted) (provider.Instance, error) {
	attacher, ok := a.prepared.(provider.Attacher)
	if !ok || a.shared.ID == "" {
		return a, nil
	}
	if err := attacher.Attach(ctx, a.shared.ID); err != nil {
		return nil, err
	}
	return &attached{a, attacher}, nil
}

// adopted is a host that another process has set up and will tear down.
type adopted struct {
	prepared provider.Instance // by the configuration of this process
	shared   sharedHost
	release  func() // ends the use of the host; may be nil
}

func (a *adopted) Common() provider.Settings   { return a.prepared.Common() }
func (a *adopted) SetUp(context.Context) error { return nil }
func (a *adopted) Address() string             { return a.shared.Address }
func (a *adopted) BaseDomain() string          { return a.shared.BaseDomain }

// TearDown ends the use of the host, which stays up.
func (a *adopted) TearDown(context.Context) error {
	if a.release != nil {
		a.release()
		a.release = nil
	}
	return nil
}

// IsPersistent is that of the host.
func (a *adopted) IsPersistent() bool {
	p, ok := a.prepared.(provider.Persistent)
	return ok && p.IsPersistent()
}

// Gateway is the one that this process's configuration has.
func (a *adopted) Gateway() (string, error) {
	if g, ok := a.prepared.(provider.Gateway); ok {
		return g.Gateway()
	}
	return "", nil
}

// attached is an adopted host that this process observes. The process that has set
// it up reads its console.
type attached struct {
	*adopted
	attacher provider.Attacher
}

// TearDown ends the use of the host, which stays up.
func (a *attached) TearDown(ctx context.Context) error {
	a.attacher.Detach()
	return a.adopted.TearDown(ctx)
}

func (a *attached) Outage() (<-chan struct{}, error) { return provider.OutageOf(a.prepared) }

// VerifyLogin checks that a login has reached the host.
func (a *attached) VerifyLogin(ctx context.Context, run func(context.Context, string) (string, error)) error {
	if v, ok := a.prepared.(provider.LoginVerifier); ok {
		return v.VerifyLogin(ctx, run)
	}
	return nil
}

// CheckConflict looks for another machine with the address of the host.
func (a *attached) CheckConflict(ctx context.Context) error {
	if c, ok := a.prepared.(provider.ConflictChecker); ok {
		return c.CheckConflict(ctx)
	}
	return nil
}

func (a *attached) Checkpoints(ctx context.Context) (provider.Checkpoints, error) {
	if c, ok := a.prepared.(provider.Checkpointer); ok {
		return c.Checkpoints(ctx)
	}
	return nil, errNoCheckpoints
}

func (a *attached) SetClock(ctx context.Context) error {
	if c, ok := a.prepared.(provider.ClockSetter); ok {
		return c.SetClock(ctx)
	}
	return errors.ErrUnsupported
}

func (a *attached) State() string {
	if s, ok := a.prepared.(provider.StateReporter); ok {
		return s.State()
	}
	return ""
}

func (a *attached) Screenshot(ctx context.Context) ([]byte, error) {
	if s, ok := a.prepared.(provider.Screenshotter); ok {
		return s.Screenshot(ctx)
	}
	return nil, provider.ErrNoScreen
}
