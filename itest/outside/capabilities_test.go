//go:build linux

package outside

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// libvirtd writes down what it has learnt from QEMU. Where QEMU's user may not
// open /dev/kvm, it takes that for out of date in every call, asks again, at
// seconds a time, and writes it anew. How long calls take proves nothing on a
// busy machine; that the file stays the same one does.
func TestLibvirtAsksQEMUOnlyOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	known := s.knowledge(t)
	require.Len(t, known, 1)
	s.sh(t, `virsh dumpxml my_base_domain |
		sed -e '/<uuid>/d; /<mac /d' -e "s,<name>.*,<name>probed</name>," >"$TMPDIR/probed.xml"
		virsh -q define "$TMPDIR/probed.xml"
		virsh -q start probed
		virsh -q destroy probed
		virsh -q undefine probed`)
	assert.Equal(t, known, s.knowledge(t))
}

// knowledge identifies the files of libvirt's that say what QEMU can do.
func (s *session) knowledge(t *testing.T) map[string]syscall.Stat_t {
	t.Helper()
	found, err := filepath.Glob(s.path("/var/cache/libvirt/qemu/capabilities/*.xml"))
	require.NoError(t, err)
	known := map[string]syscall.Stat_t{}
	for _, path := range found {
		info, err := os.Stat(path)
		require.NoError(t, err)
		stat := *info.Sys().(*syscall.Stat_t)
		stat.Atim = syscall.Timespec{} // it may be read
		known[filepath.Base(path)] = stat
	}
	return known
}
