package image_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/gomega/format"
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var someDigest = strings.Repeat("5f", 32)

// value parses a value of the key image.
func value(t *testing.T, text string) *hocon.Value {
	t.Helper()
	doc, err := hocon.Parse(t.Context(), "overcast.conf", []byte("web.image = "+text), nil)
	require.NoError(t, err)
	root, err := doc.Resolve(t.Context(), nil)
	require.NoError(t, err)
	v, ok := root.Lookup("web.image")
	require.True(t, ok)
	return v
}

func TestParseTellsFilesURLsAndVolumesApart(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "images"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	home, err := os.UserHomeDir()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		text string
		want image.Source
	}{
		"a name":                                {`debian.qcow2`, image.Source{Kind: image.File, Path: filepath.Join(dir, "debian.qcow2")}},
		"an absolute path":                      {`"/srv/debian.qcow2"`, image.Source{Kind: image.File, Path: "/srv/debian.qcow2"}},
		"a path in a folder that exists":        {`images/debian.qcow2`, image.Source{Kind: image.File, Path: filepath.Join(dir, "images", "debian.qcow2")}},
		"a name in the current folder":          {`"./debian.qcow2"`, image.Source{Kind: image.File, Path: filepath.Join(dir, "debian.qcow2")}},
		"a path in a folder that is missing":    {`"./default/debian.qcow2"`, image.Source{Kind: image.File, Path: filepath.Join(dir, "default", "debian.qcow2")}},
		"a path in the parent folder":           {`"../debian.qcow2"`, image.Source{Kind: image.File, Path: filepath.Join(filepath.Dir(dir), "debian.qcow2")}},
		"a path in the home folder":             {`"~/debian.qcow2"`, image.Source{Kind: image.File, Path: filepath.Join(home, "debian.qcow2")}},
		"a path with two slashes":               {`a/b/debian.qcow2`, image.Source{Kind: image.File, Path: filepath.Join(dir, "a/b/debian.qcow2")}},
		"pool and volume":                       {`default/debian.qcow2`, image.Source{Kind: image.Volume, Pool: "default", Volume: "debian.qcow2", Path: filepath.Join(dir, "default", "debian.qcow2")}},
		"a pool with the name of a file":        {`file/debian.qcow2`, image.Source{Kind: image.Volume, Pool: "file", Volume: "debian.qcow2", Path: filepath.Join(dir, "file", "debian.qcow2")}},
		"a volume object":                       {`{ volume = "images/debian.qcow2" }`, image.Source{Kind: image.Volume, Pool: "images", Volume: "debian.qcow2"}},
		"a volume object with a slash in names": {`{ volume = "rbd/a/b" }`, image.Source{Kind: image.Volume, Pool: "rbd", Volume: "a/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := image.Parse(value(t, test.text), dir)
			require.NoError(t, err)
			assert.Equal(t, test.want, source)
		})
	}
	source, err := image.Parse(value(t, `{ url = "HTTPS://example.org/debian.qcow2", sha256 = `+strings.ToUpper(someDigest)+` }`), dir)
	require.NoError(t, err)
	assert.Equal(t, image.URL, source.Kind)
	assert.Equal(t, "https://example.org/debian.qcow2", source.String())
	assert.Equal(t, someDigest, source.SHA256)
	source, err = image.Parse(value(t, `{ url = "http://example.org/debian.qcow2", sha256 = none }`), dir)
	require.NoError(t, err)
	assert.Empty(t, source.SHA256)
}

func TestParseRefusesWithPositionKeyAndRemedy(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a URL without a digest":   {`"https://example.org/a"`, `overcast.conf:1:13: web.image: a URL needs the digest of its file: write { url = "https://...", sha256 = "..." }, or sha256 = none to accept any content`},
		"an object without digest": {`{ url = "https://example.org/a" }`, `overcast.conf:1:13: web.image: sha256 is missing: give the SHA-256 digest of the file, or write sha256 = none to accept any content`},
		"a short digest":           {`{ url = "https://example.org/a", sha256 = abcd }`, `overcast.conf:1:13: web.image: sha256: "abcd" is neither 64 hexadecimal digits nor none`},
		"another word for none":    {`{ url = "https://example.org/a", sha256 = None }`, `overcast.conf:1:13: web.image: sha256: "None" is neither 64 hexadecimal digits nor none`},
		"another scheme":           {`{ url = "ftp://example.org/a", sha256 = none }`, `overcast.conf:1:13: web.image: url: ftp://example.org/a is not a URL of http or https`},
		"a URL without a host":     {`{ url = "https:///a", sha256 = none }`, `overcast.conf:1:13: web.image: url: https:///a is not a URL of http or https`},
		"two kinds":                {`{ url = "https://example.org/a", volume = "a/b" }`, `overcast.conf:1:13: web.image: an image is either { url, sha256 } or { volume }`},
		"a volume with a digest":   {`{ volume = "a/b", sha256 = none }`, `overcast.conf:1:13: web.image: an image is either { url, sha256 } or { volume }`},
		"no kind":                  {`{}`, `overcast.conf:1:13: web.image: an image is either { url, sha256 } or { volume }`},
		"a volume without a pool":  {`{ volume = "debian.qcow2" }`, `overcast.conf:1:13: web.image: volume: "debian.qcow2" is not of the form pool/volume`},
		"an empty string":          {`""`, `overcast.conf:1:13: web.image: an empty string is not an image`},
		"a number":                 {`5`, `overcast.conf:1:13: web.image: a value of type number is not an image: write a path, "pool/volume", { url, sha256 } or { volume }`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := image.Parse(value(t, test.text), t.TempDir())
			var invalid *hocon.ValueError
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, test.want, err.Error())
		})
	}
	_, err := image.Parse(value(t, `{ ulr = "https://u:secret@example.org/a" }`), t.TempDir())
	var invalid *hocon.ValueError
	require.ErrorAs(t, err, &invalid)
	assert.Contains(t, err.Error(), `unknown key "ulr"`)
	assert.NotContains(t, err.Error(), "secret")
}

func TestSourcesNeverShowSecrets(t *testing.T) {
	source, err := image.URLSource("https://me:geheim@example.org/a%2Fb.qcow2?token=geheim#geheim", image.NoDigest)
	require.NoError(t, err)
	assert.Equal(t, "https://********@example.org/a%2Fb.qcow2?********", source.String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		assert.NotContains(t, fmt.Sprintf(verb, source), "geheim")
		assert.NotContains(t, fmt.Sprintf(verb, struct{ hidden image.Source }{source}), "geheim", verb)
	}
	assert.NotContains(t, format.Object(source, 1), "geheim")
	for _, text := range []string{"https://me:gehe/im@example.org/", "https://me:%zzgeheim@example.org", "ftp://me:geheim@example.org/?geheim"} {
		_, err := image.Parse(value(t, fmt.Sprintf(`{ url = %q, sha256 = none }`, text)), t.TempDir())
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "gehe")
	}
	_, err = image.Parse(value(t, `"https://me:geheim@example.org/"`), t.TempDir())
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "geheim")
}
