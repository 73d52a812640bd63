package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRecipeDependsOnWhatProvisioningDoes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("one"), 0o600))
	recipe := func(p provider.Provision) string {
		text, err := newRecipes().of(t.Context(), p)
		require.NoError(t, err)
		return text
	}
	what := provider.Provision{Cmd: "a", Copy: []string{dir, "/srv"}, ExpirationTag: provider.ExpirationTag{Cmd: "echo; echo tag "}}
	first := recipe(what)
	assert.Equal(t, first, recipe(what))
	other := what
	other.Cmd = "b"
	assert.NotEqual(t, first, recipe(other))
	other = what
	other.ExpirationTag.Cmd = "printf tag"
	assert.Equal(t, first, recipe(other), "the tag is trimmed")
	other.ExpirationTag.Cmd = "echo another"
	assert.NotEqual(t, first, recipe(other))
	require.NoError(t, os.WriteFile(file, []byte("two"), 0o600))
	assert.NotEqual(t, first, recipe(what), "the content of a copied file")

	require.NoError(t, os.Symlink("v1", filepath.Join(dir, "current"))) // which does not exist
	first = recipe(what)
	require.NoError(t, os.Remove(filepath.Join(dir, "current")))
	require.NoError(t, os.Symlink("v2", filepath.Join(dir, "current")))
	assert.NotEqual(t, first, recipe(what), "the target of a copied link")
}

func TestFilesThatChangeDuringProvisioningAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a file")
	require.NoError(t, os.WriteFile(file, []byte("one"), 0o600))
	require.NoError(t, os.Symlink("one", filepath.Join(dir, "link")))
	what := provider.Provision{Copy: []string{dir, "/srv", file, "/srv/one"}}
	for name, test := range map[string]struct {
		change func(t *testing.T) error
		want   string
	}{
		"content": {func(*testing.T) error { return os.WriteFile(file, []byte("two"), 0o600) }, file},
		"mode":    {func(*testing.T) error { return os.Chmod(file, 0o700) }, file},
		"link target": {func(*testing.T) error {
			_ = os.Remove(filepath.Join(dir, "link"))
			return os.Symlink("two", filepath.Join(dir, "link"))
		}, filepath.Join(dir, "link")},
		"new file": {func(*testing.T) error { return os.WriteFile(filepath.Join(dir, "z"), nil, 0o600) }, filepath.Join(dir, "z")},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecipes()
			_, err := r.of(t.Context(), what)
			require.NoError(t, err)
			require.NoError(t, r.checkUnchanged(what))
			require.NoError(t, test.change(t))
			assert.EqualError(t, r.checkUnchanged(what), test.want+" changed while the host was provisioned")
		})
	}
}

func TestTagCommandThatFailsOrPrintsNothingIsAnError(t *testing.T) {
	_, err := readTag(t.Context(), provider.ExpirationTag{Cmd: "echo bad >&2; exit 3"})
	require.EqualError(t, err, "running provision.expirationTag.cmd: exit status 3: bad")
	_, err = readTag(t.Context(), provider.ExpirationTag{Cmd: "echo"})
	require.ErrorContains(t, err, "it printed nothing")
}

func TestTagCommandEndsWithItsContext(t *testing.T) {
	// The shell waits for a pipeline, whose processes outlive it.
	started := filepath.Join(t.TempDir(), "started")
	endless := fmt.Sprintf("{ touch %s; while [ -e %[1]s ]; do sleep 0.1; done; }", started) // until the test ends
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := readTag(ctx, provider.ExpirationTag{Cmd: endless + " | cat"})
		result <- err
	}()
	require.Eventually(t, func() bool { _, err := os.Stat(started); return err == nil }, 30*time.Second, 10*time.Millisecond)
	cancel()
	select {
	case err := <-result:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(30 * time.Second):
		t.Fatal("the command waits for the pipeline")
	}
	_, err := readTag(t.Context(), provider.ExpirationTag{Cmd: "echo tag; " + endless + " &"})
	require.ErrorContains(t, err, "a process that it started still has its output open")
}

func TestTagCommandRunsOnceForHostsThatShareIt(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	tag := func(cmd string) provider.Provision {
		return provider.Provision{ExpirationTag: provider.ExpirationTag{Cmd: "echo run >> " + log + "; " + cmd}}
	}
	r := newRecipes()
	var all sync.WaitGroup
	for n := range 9 {
		all.Go(func() {
			_, err := r.of(t.Context(), tag([]string{"echo a", "echo b", "echo c"}[n%3]))
			assert.NoError(t, err)
		})
	}
	all.Wait()
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("run\n", 3), string(text))
}

func TestTagCommandsOfABatchRunAtTheSameTime(t *testing.T) {
	// Each command waits for the other one.
	dir := t.TempDir()
	command := func(mine, other string) string {
		return fmt.Sprintf("cd %s; touch %s; until [ -e %s ]; do sleep 0.01; done; echo tag", dir, mine, other)
	}
	r := newRecipes()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := recovered.ForEach([]string{"a", "b"}, func(name string) error {
		other := map[string]string{"a": "b", "b": "a"}[name]
		_, err := r.of(ctx, provider.Provision{ExpirationTag: provider.ExpirationTag{Cmd: command(name, other)}})
		return err
	})
	require.NoError(t, err)
}

func TestLocalFilesAreReadOnceForHostsThatShareThem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("one"), 0o600))
	what := provider.Provision{Copy: []string{file, "/srv/file"}}
	r := newRecipes()
	first, err := r.of(t.Context(), what)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("two"), 0o600))
	second, err := r.of(t.Context(), what)
	require.NoError(t, err)
	assert.Equal(t, first, second, "the hosts of one set-up have the same files")
}

// fromLayer is a host that is created from a layer.
type fromLayer struct {
	*tracked
	kept bool // whether MayBlameLayer blames other things
}

func (h *fromLayer) UseLayer(string, bool)                                       {}
func (h *fromLayer) LayerBuilder(context.Context) (provider.LayerBuilder, error) { return nil, nil }
func (h *fromLayer) IsProvisioned() bool                                         { return true }
func (h *fromLayer) ProvisioningTime() time.Duration                             { return 0 }
func (h *fromLayer) MayBlameLayer(error) bool                                    { return !h.kept }
func (h *fromLayer) DiscardLayer(context.Context) error {
	h.add("discard layer")
	h.setUp = nil
	return nil
}

func TestLayerIsDiscardedOnlyIfItMayBeTheCause(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		kept    bool
		discard bool
	}{
		"no boot":                     {provider.ErrAddressNotFound, false, true},
		"another error":               {errors.New("libvirt: the image is broken"), false, true},
		"what the provider knows":     {errors.New("the pool is full"), true, false},
		"no memory":                   {fmt.Errorf("cloning: %w", provider.ErrNotEnoughMemory), false, false},
		"a full pool that pauses it":  {provider.ErrHostPaused, false, false},
		"a connection that is lost":   {provider.ErrHypervisorNotReachable, false, false},
		"an address that is occupied": {provider.ErrStaticAddressInUse, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := &fromLayer{&tracked{setUp: test.err}, test.kept}
			h.Settings, h.hostname = provider.DefaultSettings(), "a"
			prepare := func(string) (Prepared, error) {
				return Prepared{Instance: h, Provider: &reserver{}, ProviderName: "a"}, nil
			}
			err := NewRegistry().SetUp(t.Context(), []string{"a"}, prepare, SetupOptions{})
			if test.discard {
				require.NoError(t, err)
				assert.Equal(t, []string{"set up", "tear down", "discard layer", "set up"}, h.events)
				return
			}
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, []string{"set up", "tear down"}, h.events)
		})
	}
}

// layerless is a host whose layer is missing.
type layerless struct {
	*fromLayer
	builder *stuckBuilder
}

func (h *layerless) IsProvisioned() bool { return false }
func (h *layerless) LayerBuilder(context.Context) (provider.LayerBuilder, error) {
	return h.builder, nil
}

// stuckBuilder is a builder of a layer that cannot be removed at first.
type stuckBuilder struct {
	*tracked
	stuck bool // until the next removal has failed
}

func (b *stuckBuilder) CleanCommand() string                                       { return "true" }
func (b *stuckBuilder) Publish(context.Context, time.Duration, func(string)) error { return nil }
func (b *stuckBuilder) TearDown(context.Context) error {
	if b.stuck {
		b.add("not torn down")
		b.stuck = false
		return errors.New("libvirtd is down")
	}
	b.add("tear down")
	return nil
}

func TestTeardownRemovesABuilderThatCouldNotBeRemoved(t *testing.T) {
	for name, setUp := range map[string]error{"that failed": errors.New("no boot"), "that succeeded": nil} {
		t.Run(name, func(t *testing.T) {
			b := &stuckBuilder{&tracked{setUp: setUp}, true}
			b.Settings = provider.DefaultSettings()
			h := &layerless{&fromLayer{tracked: &tracked{}}, b}
			h.Settings, h.hostname = provider.DefaultSettings(), "a"
			prepare := func(string) (Prepared, error) {
				return Prepared{Instance: h, Provider: &reserver{}, ProviderName: "a"}, nil
			}
			r := NewRegistry()
			require.ErrorContains(t, r.SetUp(t.Context(), []string{"a"}, prepare, SetupOptions{}), "libvirtd is down")
			assert.Equal(t, []string{"set up", "not torn down"}, b.events)
			assert.Empty(t, h.events, "the builder uses its memory and address")

			b.stuck = true
			require.ErrorContains(t, r.TearDown(t.Context(), "a"), "removing the builder of a layer: libvirtd is down")
			assert.Empty(t, h.events)
			require.NoError(t, r.TearDown(t.Context(), "a"))
			assert.Equal(t, []string{"set up", "not torn down", "not torn down", "tear down"}, b.events)
			assert.Equal(t, []string{"tear down"}, h.events)
			require.NoError(t, r.TearDown(t.Context(), "a"))
			assert.Equal(t, []string{"tear down"}, h.events, "nothing is left")
		})
	}
}

func TestHostIsRemovedIfTheBuildOfItsLayerPanics(t *testing.T) {
	h := &panicking{&fromLayer{tracked: &tracked{}}}
	h.Settings, h.hostname = provider.DefaultSettings(), "a"
	prepare := func(string) (Prepared, error) {
		return Prepared{Instance: h, Provider: &reserver{}, ProviderName: "a"}, nil
	}
	r := NewRegistry()
	require.ErrorContains(t, r.SetUp(t.Context(), []string{"a"}, prepare, SetupOptions{}), "a mistake")
	require.NoError(t, r.TearDown(t.Context(), "a"))
	assert.Equal(t, []string{"tear down"}, h.events)
}

// panicking is a host whose provider panics when it builds a layer.
type panicking struct{ *fromLayer }

func (h *panicking) LayerBuilder(context.Context) (provider.LayerBuilder, error) { panic("a mistake") }

func TestLayerIsNotDiscardedWhenTheSetUpIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := newHost(&fromLayer{tracked: &tracked{}})
	_, discard := h.discardAfter(ctx, errors.New("interrupted"))
	assert.NotNil(t, discard)
	cancel()
	_, discard = h.discardAfter(ctx, errors.New("interrupted"))
	assert.Nil(t, discard)
}
