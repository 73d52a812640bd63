package image_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// write makes a file in a folder of the test.
func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// qcow2 returns the header of an image of 1 GiB, changed by change.
func qcow2(version uint32, change func(header []byte)) []byte {
	header := make([]byte, 65536)
	copy(header, "QFI\xfb")
	binary.BigEndian.PutUint32(header[4:], version)
	binary.BigEndian.PutUint32(header[20:], 16)
	binary.BigEndian.PutUint64(header[24:], 1<<30)
	if version == 3 {
		binary.BigEndian.PutUint32(header[100:], 104)
	}
	if change != nil {
		change(header)
	}
	return header
}

func TestInspectReadsTheHeader(t *testing.T) {
	for name, test := range map[string]struct {
		content []byte
		want    image.Info
	}{
		"qcow2 version 2": {qcow2(2, nil), image.Info{Format: image.QCOW2, Version: 2, VirtualSize: 1 << 30}},
		"qcow2 version 3": {qcow2(3, nil), image.Info{Format: image.QCOW2, Version: 3, VirtualSize: 1 << 30}},
		"qcow2 that compresses with zstd": {qcow2(3, func(h []byte) { h[79] = 1 << 3 }),
			image.Info{Format: image.QCOW2, Version: 3, VirtualSize: 1 << 30}},
		"raw": {make([]byte, 3*512), image.Info{Format: image.Raw, VirtualSize: 3 * 512}},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := image.Inspect(write(t, "any.name", test.content))
			require.NoError(t, err)
			assert.Equal(t, test.want, info)
		})
	}
}

func TestInspectRefuses(t *testing.T) {
	const text = "it is not a disk image: it is a text that starts with %q: if a web server sent it in place of the image, check the address and download it again (curl -f)"
	webPage := fmt.Sprintf(text, "<!DOCTYPE html>")
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"a backing file":          {qcow2(3, func(h []byte) { h[15] = 0x70 }), "it has a backing file: merge both with qemu-img convert -O qcow2"},
		"an external data file":   {qcow2(3, func(h []byte) { h[79] = 1 << 2 }), "its data is in an external file: convert it with qemu-img convert -O qcow2"},
		"encryption":              {qcow2(2, func(h []byte) { h[35] = 2 }), "it is encrypted: decrypt it with qemu-img convert -O qcow2"},
		"corruption":              {qcow2(3, func(h []byte) { h[79] = 1 << 1 }), "it is marked as corrupt: check it with qemu-img check"},
		"a virtual size of 0":     {qcow2(3, func(h []byte) { h[28] = 0 }), "its qcow2 header has the virtual size 0"},
		"a negative virtual size": {qcow2(3, func(h []byte) { h[24] = 0x80 }), "its qcow2 header has the virtual size 9223372037928517632"},
		"an old qcow":             {qcow2(1, nil), "qcow version 1 is not supported: convert it with qemu-img convert -O qcow2"},
		"a cut version 2 header":  {qcow2(2, nil)[:70], "its qcow2 header is cut off"},
		"a cut version 3 header":  {qcow2(3, nil)[:80], "its qcow2 header is cut off"},
		"an empty file":           {nil, "the file is empty"},
		"an HTML page":            {[]byte("<!DOCTYPE html>\n<p>not found"), webPage},
		"a page of whole sectors": {append([]byte("\n<!DOCTYPE html>\r\n"), bytes.Repeat([]byte("x"), 1024-18)...), webPage},
		"a long line":             {bytes.Repeat([]byte("x"), 512), fmt.Sprintf(text, strings.Repeat("x", 60))},
		"a damaged cluster size":  {qcow2(3, func(h []byte) { h[23] = 99 }), "its qcow2 header has clusters of 2^99 bytes"},
		"a damaged table size":    {qcow2(3, func(h []byte) { h[36] = 0x80 }), "its qcow2 header has a table of 17179869184 bytes"},
		"a cut table":             {qcow2(3, func(h []byte) { h[39], h[45] = 1, 1 }), "it is cut off: it has 65536 bytes, and its tables refer to data at byte 65536: download or copy it again"},
		"VMDK":                    {append([]byte("KDMV"), make([]byte, 508)...), "it is a VMDK image: convert it with qemu-img convert -O qcow2"},
		"VDI":                     {append(append(make([]byte, 64), 0x7f, 0x10, 0xda, 0xbe), make([]byte, 444)...), "it is a VDI image: convert it with qemu-img convert -O qcow2"},
		"a tar archive":           {append(append(make([]byte, 257), "ustar"...), make([]byte, 250)...), "it is a tar archive: unpack it first"},
		"a compressed file":       {append([]byte("\x1f\x8b\x08"), make([]byte, 509)...), "it is compressed twice: decompress it first"},
		"a file of only one byte": {[]byte{1}, "it is not a disk image: it is not qcow2, and 1 bytes are not a whole number of sectors of 512 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "image.qcow2", test.content)
			_, err := image.Inspect(path)
			var format *image.FormatError
			require.ErrorAs(t, err, &format)
			assert.Equal(t, "reading image "+path+": "+test.want, err.Error())
		})
	}
	_, err := image.Inspect(t.TempDir())
	require.ErrorContains(t, err, "it is not a regular file")
	missing := filepath.Join(t.TempDir(), "missing")
	_, err = image.Inspect(missing)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.Equal(t, "reading image "+missing+": no such file or directory", err.Error())
}

func TestInspectAgreesWithQEMU(t *testing.T) {
	qemu, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed")
	}
	dir := t.TempDir()
	create := func(name string, options ...string) string {
		path := filepath.Join(dir, name)
		out, err := exec.Command(qemu, append(append([]string{"create", "-q", "-f", "qcow2"}, options...), path, "20M")...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return path
	}
	info, err := image.Inspect(create("new"))
	require.NoError(t, err)
	assert.Equal(t, image.Info{Format: image.QCOW2, Version: 3, VirtualSize: 20 << 20}, info)
	info, err = image.Inspect(create("old", "-o", "compat=0.10"))
	require.NoError(t, err)
	assert.Equal(t, image.Info{Format: image.QCOW2, Version: 2, VirtualSize: 20 << 20}, info)
	_, err = image.Inspect(create("overlay", "-b", create("backing"), "-F", "qcow2"))
	require.ErrorContains(t, err, "it has a backing file")
	_, err = image.Inspect(create("external", "-o", "data_file="+filepath.Join(dir, "data")))
	require.ErrorContains(t, err, "its data is in an external file")
	_, err = image.Inspect(create("encrypted", "--object", "secret,id=key,data=geheim", "-o", "encrypt.format=aes,encrypt.key-secret=key"))
	require.ErrorContains(t, err, "it is encrypted")
}

func TestInspectRefusesAnImageThatIsCutOff(t *testing.T) {
	qemu, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed")
	}
	dir := t.TempDir()
	random := make([]byte, 3<<20)
	_, err = rand.Read(random[:1<<20])
	require.NoError(t, err)
	copy(random[2<<20:], bytes.Repeat([]byte("compressible"), 1<<16))
	raw := filepath.Join(dir, "raw")
	require.NoError(t, os.WriteFile(raw, random, 0o600))
	for name, options := range map[string][]string{
		"version 3":      nil,
		"version 2":      {"-o", "compat=0.10"},
		"compressed":     {"-c"},
		"zstd":           {"-c", "-o", "compression_type=zstd"},
		"small clusters": {"-o", "cluster_size=512"},
		"large clusters": {"-o", "cluster_size=2M"},
		"extended L2":    {"-o", "extended_l2=on,cluster_size=128k"},
		"preallocated":   {"-o", "preallocation=metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			out, err := exec.Command(qemu, append(append([]string{"convert", "-O", "qcow2"}, options...), raw, path)...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			whole, err := image.Inspect(path)
			require.NoError(t, err)
			assert.Equal(t, int64(len(random)), whole.VirtualSize)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(path, info.Size()/2))
			_, err = image.Inspect(path)
			require.ErrorContains(t, err, fmt.Sprintf("it is cut off: it has %d bytes, and its tables refer to data at byte ", info.Size()/2))
		})
	}
}
