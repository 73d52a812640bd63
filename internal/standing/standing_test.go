//go:build unix

package standing

import (
	"os"
	"testing"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func section(t *testing.T, text string) *hocon.Value {
	t.Helper()
	document, err := hocon.Parse(t.Context(), "test", []byte(text), nil)
	require.NoError(t, err)
	value, err := document.Resolve(t.Context(), nil)
	require.NoError(t, err)
	return value
}

func claim(t *testing.T) (*Claimed, string) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	name, err := Name("web", section(t, "hostname = a"))
	require.NoError(t, err)
	claimed, err := Claim(name)
	require.NoError(t, err)
	return claimed, name
}

func TestAnotherConfigurationHasAnotherName(t *testing.T) {
	one, err := Name("web", section(t, "hostname = a"))
	require.NoError(t, err)
	same, err := Name("web", section(t, "hostname : a"))
	require.NoError(t, err)
	other, err := Name("web", section(t, "hostname = b"))
	require.NoError(t, err)
	assert.Equal(t, one, same)
	assert.NotEqual(t, one, other)
}

func TestTheConsoleOfAHostIsStored(t *testing.T) {
	claimed, name := claim(t)
	require.NoError(t, claimed.Publish(Record{Label: "web", PID: os.Getpid()}))
	found, err := Find(name)
	require.NoError(t, err)
	assert.Empty(t, found.Console())
	require.NoError(t, claimed.WriteConsole([]string{"booted", "web login:"}))
	assert.Equal(t, "booted\nweb login:\n", found.Console())
	claimed.Release()
	assert.Empty(t, found.Console())
}

func TestAHostIsFoundWhileItIsUp(t *testing.T) {
	claimed, name := claim(t)
	_, err := Claim(name)
	require.ErrorIs(t, err, ErrUp)
	found, err := Find(name)
	require.NoError(t, err)
	assert.Nil(t, found, "it is being set up")

	require.NoError(t, claimed.Publish(Record{Label: "web", PID: os.Getpid(), Address: "192.0.2.1"}))
	found, err = Find(name)
	require.NoError(t, err)
	require.NotNil(t, found)
	assert.Equal(t, "192.0.2.1", found.Address)
	all, err := List()
	require.NoError(t, err)
	assert.Len(t, all, 1)

	claimed.Release()
	found, err = Find(name)
	require.NoError(t, err)
	assert.Nil(t, found)
}

func TestARecordWithoutItsProcessIsStale(t *testing.T) {
	claimed, name := claim(t)
	require.NoError(t, claimed.Publish(Record{Label: "web"}))
	require.NoError(t, claimed.lock.Close()) // as the kernel does when the process is killed
	found, err := Find(name)
	require.NoError(t, err)
	assert.Nil(t, found)
	again, err := Claim(name)
	require.NoError(t, err)
	again.Release()
}

func TestOneProcessUsesAHostAtATime(t *testing.T) {
	claimed, name := claim(t)
	defer claimed.Release()
	require.NoError(t, claimed.Publish(Record{Label: "web"}))
	past := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(claimed.path+useSuffix, past, past))
	assert.Greater(t, claimed.IdleTime(), 59*time.Minute)
	r, err := Find(name)
	require.NoError(t, err)
	release, ok, err := r.Use()
	require.NoError(t, err)
	require.True(t, ok)
	assert.Zero(t, r.IdleTime())
	_, ok, err = r.Use()
	require.NoError(t, err)
	assert.False(t, ok)
	release()
	assert.Less(t, claimed.IdleTime(), time.Minute)
	_, ok, err = r.Use()
	require.NoError(t, err)
	assert.True(t, ok)
}
