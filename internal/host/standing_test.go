package host

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/standing"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bootedMachine is an instance that counts its set-ups.
type bootedMachine struct {
	provider.Settings
	setUps int
}

func (m *bootedMachine) SetUp(context.Context) error    { m.setUps++; return nil }
func (m *bootedMachine) Address() string                { return "192.0.2.2" }
func (m *bootedMachine) TearDown(context.Context) error { return nil }

func standingSection(t *testing.T) *hocon.Value {
	t.Helper()
	document, err := hocon.Parse(t.Context(), "test", []byte("a = 1"), nil)
	require.NoError(t, err)
	section, err := document.Resolve(t.Context(), nil)
	require.NoError(t, err)
	return section
}

func TestASetUpAttachesToAHostThatStaysUp(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	section := standingSection(t)
	name, err := standing.Name("web", section)
	require.NoError(t, err)
	claimed, err := standing.Claim(name)
	require.NoError(t, err)
	defer claimed.Release()
	require.NoError(t, claimed.Publish(standing.Record{
		Label: "web", PID: os.Getpid(), Since: time.Now(), Address: "192.0.2.1",
		Shared: []byte(`{"version": 1, "hosts": {"web": {"address": "192.0.2.1"}}}`),
	}))
	setUp := func(attach string) (*Registry, *bootedMachine) {
		t.Setenv("OVERCAST_ATTACH", attach)
		machine := &bootedMachine{Settings: provider.DefaultSettings()}
		registry := NewRegistry()
		prepare := func(string) (Prepared, error) { return Prepared{Instance: machine, Section: section}, nil }
		require.NoError(t, registry.SetUp(t.Context(), []string{"web"}, prepare, SetupOptions{}))
		return registry, machine
	}

	_, machine := setUp("0")
	assert.Equal(t, 1, machine.setUps, "it is not asked to attach")

	attached, machine := setUp("1")
	assert.Zero(t, machine.setUps)
	assert.Equal(t, "192.0.2.1", attached.Get("web").Address())

	other, machine := setUp("1")
	assert.Equal(t, 1, machine.setUps, "the host is in use")
	assert.Equal(t, "192.0.2.2", other.Get("web").Address())

	require.NoError(t, attached.TearDown(t.Context(), "web"))
	_, machine = setUp("1")
	assert.Zero(t, machine.setUps, "the host is free again")
}
