package host

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/internal/trace/tracetest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTraceHasTheStepsOfEachHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.json")
	t.Setenv(trace.Variable, path)
	p, hosts := &reserver{name: "test"}, map[string]*tracked{"a": {}, "b": {setUp: errors.New("no disk")}}
	r := NewRegistry()
	require.Error(t, r.SetUp(t.Context(), []string{"a", "b"}, preparer(p, hosts), SetupOptions{}))
	require.NoError(t, r.TearDown(t.Context(), "a"))
	require.NoError(t, r.TearDown(t.Context(), "b"))

	events, err := tracetest.Read(path)
	require.NoError(t, err)
	for label, expected := range map[string][]string{
		"a": {"set up", "reserve", "waiting for memory", "address", "tear down", "disconnect", "remove"},
		"b": {"set up", "reserve", "waiting for memory", "disconnect", "remove"},
	} {
		own := events.Of(os.Getpid(), label)
		require.NoError(t, own.CheckNesting())
		var names []string
		for _, e := range own {
			names = append(names, e.Name)
		}
		assert.ElementsMatch(t, expected, names, label)
		assert.LessOrEqual(t, own.Named("reserve").End(), own.Named("set up").End())
	}
	a := events.Of(os.Getpid(), "a")
	assert.Equal(t, "a", a.Named("address").Args["detail"])
	assert.Less(t, a.Named("set up").End(), a.Named("tear down").Time)
	b := events.Of(os.Getpid(), "b").Named("set up")
	assert.Equal(t, "no disk", b.Args["error"])
}

func TestTraceOfAFailedReservation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.json")
	t.Setenv(trace.Variable, path)
	p, hosts := &reserver{name: "test", err: errors.New("not enough memory")}, map[string]*tracked{"a": {}}
	require.Error(t, NewRegistry().SetUp(t.Context(), []string{"a"}, preparer(p, hosts), SetupOptions{}))
	events, err := tracetest.Read(path)
	require.NoError(t, err)
	own := events.Of(os.Getpid(), "a")
	require.NoError(t, own.CheckNesting())
	assert.Equal(t, "not enough memory", own.Named("reserve").Args["error"])
	assert.Equal(t, "not enough memory", own.Named("set up").Args["error"])
	assert.Less(t, own.Named("remove").End(), own.Named("set up").End())
}

func TestSetUpFailsIfTheTraceCannotBeOpened(t *testing.T) {
	t.Setenv(trace.Variable, t.TempDir())
	p, hosts := &reserver{name: "test"}, map[string]*tracked{"a": {}}
	r := NewRegistry()
	err := r.SetUp(t.Context(), []string{"a"}, preparer(p, hosts), SetupOptions{})
	require.ErrorContains(t, err, "setting up a: opening the trace that OVERCAST_TRACE names: ")
	assert.Empty(t, hosts["a"].events)
	assert.Nil(t, r.Get("a"))

	t.Setenv(trace.Variable, "")
	require.NoError(t, r.SetUp(t.Context(), []string{"a"}, preparer(p, hosts), SetupOptions{}))
	t.Setenv(trace.Variable, t.TempDir())
	require.NoError(t, r.TearDown(t.Context(), "a"), "a teardown goes on without a trace")
	assert.Equal(t, []string{"set up", "tear down"}, hosts["a"].events)
}
