package image_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"
)

// disk returns the content of a raw image: size bytes that look random.
func disk(size int) []byte {
	content := make([]byte, size)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(content) // never fails
	return content
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// compressors are those that unpack has to undo, by name.
var compressors = map[string]func(io.Writer) (io.WriteCloser, error){
	"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	"xz":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
	"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
}

func compress(t *testing.T, with string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := compressors[with](&b)
	require.NoError(t, err)
	_, err = w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func newCache(t *testing.T) *image.Cache {
	t.Helper()
	return &image.Cache{Dir: filepath.Join(t.TempDir(), "images"), RetryWait: 1, Logf: t.Logf}
}

func fileSource(t *testing.T, path string) image.Source {
	t.Helper()
	source, err := image.FileSource(path)
	require.NoError(t, err)
	return source
}

func TestCompressedImagesAreDecompressedOnce(t *testing.T) {
	content := disk(100 * 512)
	for with := range compressors {
		t.Run(with, func(t *testing.T) {
			cache := newCache(t)
			packed := compress(t, with, content)
			path := write(t, "image.qcow2", packed) // the name says something else
			img, err := cache.Get(t.Context(), fileSource(t, path), nil)
			require.NoError(t, err)
			assert.Equal(t, image.Raw, img.Format)
			assert.EqualValues(t, len(content), img.VirtualSize)
			assert.Equal(t, digest(packed), img.SHA256)
			got, err := os.ReadFile(img.Path)
			require.NoError(t, err)
			assert.Equal(t, digest(content), digest(got))

			before, err := os.Stat(img.Path)
			require.NoError(t, err)
			again, err := cache.Get(t.Context(), fileSource(t, write(t, "copy", packed)), nil)
			require.NoError(t, err)
			assert.Equal(t, img, again, "the digest of the file decides, and not its path")
			after, err := os.Stat(again.Path)
			require.NoError(t, err)
			assert.True(t, os.SameFile(before, after), "decompressed again")
		})
	}
}

func TestADecompressedImageThatChangedIsMadeAgain(t *testing.T) {
	cache := newCache(t)
	content := disk(20 * 512)
	source := fileSource(t, write(t, "image", compress(t, "gzip", content)))
	img, err := cache.Get(t.Context(), source, nil)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(img.Path, make([]byte, 512), 0o600))
	img, err = cache.Get(t.Context(), source, nil)
	require.NoError(t, err)
	got, err := os.ReadFile(img.Path)
	require.NoError(t, err)
	assert.Equal(t, digest(content), digest(got))
}

func TestDecompressedImagesAreSparse(t *testing.T) {
	content := make([]byte, 32<<20)
	copy(content[5<<20+100:], disk(10000))
	copy(content[len(content)-512-4096*3:], disk(700)) // and a hole at the end
	img, err := newCache(t).Get(t.Context(), fileSource(t, write(t, "image", compress(t, "zstd", content))), nil)
	require.NoError(t, err)
	got, err := os.ReadFile(img.Path)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, got))
	info, err := os.Stat(img.Path)
	require.NoError(t, err)
	assert.Less(t, info.Sys().(*syscall.Stat_t).Blocks*512, int64(1<<20))
}

func TestCompressedFilesThatAreCutOrDamagedAreRefused(t *testing.T) {
	for with := range compressors {
		t.Run(with, func(t *testing.T) {
			cache := newCache(t)
			packed := compress(t, with, disk(100*512))
			cut := packed[:len(packed)-20]
			damaged := bytes.Clone(packed)
			damaged[len(damaged)/2] ^= 0xff
			damaged[len(damaged)-5] ^= 0xff
			for _, content := range [][]byte{cut, damaged} {
				path := write(t, "image", content)
				_, err := cache.Get(t.Context(), fileSource(t, path), nil)
				var format *image.FormatError
				require.ErrorAs(t, err, &format)
				require.Error(t, format.Err)
				assert.ErrorContains(t, err, "reading image "+path+": it cannot be decompressed: ")
			}
			left, err := filepath.Glob(filepath.Join(cache.Dir, "*unpacked*"))
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

func TestAFileThatIsCompressedTwiceIsRefused(t *testing.T) {
	path := write(t, "image", compress(t, "gzip", compress(t, "xz", disk(512))))
	_, err := newCache(t).Get(t.Context(), fileSource(t, path), nil)
	require.EqualError(t, err, "reading image "+path+": it is compressed twice: decompress it first")
}

func TestACompressedFileThatChangesMeanwhileIsNotCached(t *testing.T) {
	cache := newCache(t)
	packed, other := compress(t, "gzip", disk(mega)), compress(t, "gzip", make([]byte, mega))
	path := write(t, "image", packed)
	_, err := cache.Get(t.Context(), fileSource(t, path), func(p image.Progress) {
		if p.Step == "decompressing" && p.Done == 0 {
			assert.NoError(t, os.WriteFile(path, other, 0o600))
		}
	})
	require.EqualError(t, err, "decompressing image "+path+": it changed while it was read: try again when it is complete")
	left, err := filepath.Glob(filepath.Join(cache.Dir, "*unpacked*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
