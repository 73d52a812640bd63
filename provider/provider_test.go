package provider_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// plain is a provider of hosts with the key plain.
type plain struct{}

func (plain) Keys() []string { return []string{"plain"} }

func (plain) Instance(_ string, section *hocon.Value) (provider.Instance, error) {
	i := &plainInstance{Settings: provider.DefaultSettings()}
	return i, section.Decode(i)
}

type plainInstance struct {
	provider.Settings
	Plain string `hocon:"plain"`
}

func (i *plainInstance) SetUp(context.Context) error    { return nil }
func (i *plainInstance) Address() string                { return i.Plain }
func (i *plainInstance) TearDown(context.Context) error { return nil }

func init() { provider.Register("plain", plain{}) }

// section parses the section of a host.
func section(t *testing.T, text string) *hocon.Value {
	t.Helper()
	document, err := hocon.Parse(t.Context(), "test.conf", []byte("host "+text), nil)
	require.NoError(t, err)
	root, err := document.Resolve(t.Context(), nil)
	require.NoError(t, err)
	value, ok := root.Get("host")
	require.True(t, ok)
	return value
}

func TestNewChoosesTheProviderByTheKeys(t *testing.T) {
	i, err := provider.New("host", section(t, `{ plain = "10.0.0.7", keep = always }`))
	require.NoError(t, err)
	assert.Equal(t, "10.0.0.7", i.Address())
	assert.Equal(t, provider.KeepAlways, i.Common().Keep)

	i, err = provider.New("host", section(t, `{ plain = "10.0.0.7", size = 3, hostname = web }`))
	require.NoError(t, err)
	assert.Equal(t, "web", i.Address(), "an existing machine takes precedence")

	_, _, err = provider.Of(section(t, `{ colour = red }`))
	require.ErrorIs(t, err, provider.ErrInvalidConfiguration)
	require.EqualError(t, err, `test.conf:1:6: host: no provider is known for this host: it has colour, and none of hostname, plain`)
	_, _, err = provider.Of(section(t, `{ hostnmae = web }`))
	require.EqualError(t, err, `test.conf:1:6: host: no provider is known for this host: it has hostnmae, and none of hostname, plain; did you mean hostname?`)
}

func TestNewChecksTheCommonSettings(t *testing.T) {
	_, err := provider.New("host", section(t, `{ plain = a, scope = planet }`))
	require.ErrorIs(t, err, provider.ErrInvalidConfiguration)
	require.EqualError(t, err, "test.conf:1:27: host.scope: must be one of process, suite")
	t.Setenv("OVERCAST_KEEP", "sometimes")
	_, err = provider.New("host", section(t, `{ plain = a }`))
	require.ErrorContains(t, err, `OVERCAST_KEEP is "sometimes"`)
}

func TestRegisterPanics(t *testing.T) {
	assert.PanicsWithValue(t, "provider: Register: provider plain is registered twice", func() { provider.Register("plain", plain{}) })
	assert.PanicsWithValue(t, "provider: Register: provider none is nil", func() { provider.Register("none", nil) })
}

func TestKeepPolicyIsThatOfTheEnvironment(t *testing.T) {
	settings := provider.Settings{Keep: provider.KeepNever}
	assert.Equal(t, provider.KeepNever, settings.KeepPolicy())
	t.Setenv("OVERCAST_KEEP", provider.KeepAlways)
	assert.Equal(t, provider.KeepAlways, settings.KeepPolicy())
}

func TestConnectionURLFallsBackToThatOfProvision(t *testing.T) {
	settings := provider.Settings{Provision: provider.Provision{URL: "ssh://root@{0}"}}
	assert.Equal(t, "ssh://root@{0}", settings.ConnectionURL())
	settings.Connection.URL = "ssh://me@{0}"
	assert.Equal(t, "ssh://me@{0}", settings.ConnectionURL())
}

func ExampleReport() {
	ctx := provider.WithReporter(context.Background(), func(step, detail string) {
		fmt.Println(provider.Progress{Label: "web", Step: step, Detail: detail, Elapsed: 200 * time.Millisecond})
	})
	provider.Report(ctx, provider.StepCloned, "overcast-web-1")
	// Output: web: cloned overcast-web-1 after 0.2s
}

func TestWarmNeedsALogin(t *testing.T) {
	_, err := provider.New("host", section(t, `{ plain = a, warm = true }`))
	require.EqualError(t, err, "test.conf:1:26: host.warm: needs a login: set connection.url or provision.url")
	_, err = provider.New("host", section(t, `{ plain = a, warm = sometimes, connection.url = "ssh://a@{0}" }`))
	require.ErrorContains(t, err, "host.warm: ")
	_, err = provider.New("host", section(t, `{ plain = a, warm = false }`))
	require.NoError(t, err)
	i, err := provider.New("host", section(t, `{ plain = a, warm.after = "date", connection.url = "ssh://a@{0}" }`))
	require.NoError(t, err)
	assert.True(t, i.Common().WarmPolicy())
	assert.Equal(t, "date", i.Common().Warm.After)
}
