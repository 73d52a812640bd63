package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/overcast-go/overcast/provider/libvirt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTableOfLayers(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var out strings.Builder
	require.NoError(t, layerTable(&out, []listedLayer{{"qemu:///system", libvirt.Layer{
		Kind: libvirt.KindWarm, Key: "3f2a5b6c7d8e9f00", Label: "web", Parent: "/images/a.qcow2", Bytes: 3 << 20,
		Built: now.Add(-2 * time.Hour), Used: now.Add(-time.Minute), UsedBy: []string{"clone-1", "clone-2"},
	}}, {"qemu:///system", libvirt.Layer{Kind: libvirt.KindJava, Name: "centos-1234", Parent: "centos6", Built: now.Add(-time.Hour)}}}, now))
	assert.Equal(t, ""+
		"KEY           KIND  LABEL              PARENT           SIZE     AGE     LAST USE  IN USE BY         AT\n"+
		"3f2a5b6c7d8e  warm  web                /images/a.qcow2  3.0 MiB  2h0m0s  1m0s ago  clone-1, clone-2  qemu:///system\n"+
		"centos-1234   java  Overcast for Java  centos6          -        1h0m0s  -         -                 qemu:///system\n", out.String())
}

func TestCacheCommandsCheckTheirArguments(t *testing.T) {
	for _, args := range [][]string{{"cache"}, {"cache", "lst"}, {"cache", "prune", "--all", "3f2a"}, {"cache", "prune", "--older-than", "1h", "3f2a"}, {"cache", "prune", "-c", "test:///default", "3f2a", ""}, {"image"}, {"image", "imports"}, {"image", "import"}} {
		code, out, stderr := overcast(t, "", args...)
		assert.Equal(t, 2, code, "%v: %s", args, stderr)
		assert.Empty(t, out)
	}
}

func TestImageImportChecksItsSource(t *testing.T) {
	for want, args := range map[string][]string{
		"no such file":         {"image", "import", "-c", "test:///default", "nowhere.qcow2"},
		"sha256 is missing":    {"image", "import", "-c", "test:///default", "https://127.0.0.1:1/a.qcow2"},
		"sha256 is for URLs":   {"image", "import", "-c", "test:///default", "--sha256", "none", "nowhere.qcow2"},
		"not a URL of http or": {"image", "import", "-c", "test:///default", "--sha256", "none", "ftp://127.0.0.1/a.qcow2"},
	} {
		code, out, stderr := overcast(t, "", args...)
		assert.Equal(t, 1, code)
		assert.Empty(t, out)
		assert.Contains(t, stderr, want)
	}
}

func TestCachePruneNamesALayerThatDoesNotExist(t *testing.T) {
	code, out, stderr := overcast(t, "", "cache", "prune", "-c", "test:///default", "3f2a")
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	assert.Contains(t, stderr, "removing layer 3f2a: no hypervisor has it: overcast cache ls lists the layers")
}

func TestCachePruneTakesTheStartOfAKeyThatOneLayerHas(t *testing.T) {
	all := []libvirt.Layer{{Key: "3f2a5b"}, {Key: "3f2a77"}, {Key: "3f2a77"}, {Kind: libvirt.KindJava}}
	key, err := fullKey("3f2a7", all)
	require.NoError(t, err, "two hypervisors have it")
	assert.Equal(t, "3f2a77", key)
	_, err = fullKey("3f2a", all)
	assert.EqualError(t, err, "2 layers have a key that starts so: give more of the key")
}

func TestCachePruneRemovesDownloads(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	dir, err := image.DefaultDir()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	recent, old := filepath.Join(dir, "recent"), filepath.Join(dir, "old")
	for _, path := range []string{recent, old} {
		require.NoError(t, os.WriteFile(path, make([]byte, 1<<20), 0o600))
	}
	require.NoError(t, os.Chtimes(old, time.Time{}, time.Now().Add(-15*24*time.Hour)))

	code, out, stderr := overcast(t, "", "cache", "prune", "-c", "test:///default")
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, "removed 1.0 MiB of downloaded images from "+dir+"\n", out)
	assert.NoFileExists(t, old)
	assert.FileExists(t, recent)

	code, _, stderr = overcast(t, "", "cache", "prune", "--all", "-c", "test:///default")
	assert.Equal(t, 0, code, stderr)
	assert.NoFileExists(t, recent)
}
