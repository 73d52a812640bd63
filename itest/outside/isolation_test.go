//go:build linux

package outside

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestTheLabHasANetworkOfItsOwn(t *testing.T) {
	t.Parallel()
	s := shared(t)
	inside := s.sh(t, "ip -o link")
	outside, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range outside {
		if len(i.HardwareAddr) > 0 {
			assert.NotContains(t, inside, i.HardwareAddr.String(), "the machine's %s", i.Name)
		}
	}
	assert.Empty(t, s.sh(t, "ip -4 route show default; ip -6 route show default"), "a way out")

	// The lab's "lo" is not the machine's.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	assert.NotContains(t, s.sh(t, "ss -Hltn"), ":"+port+" ")
	for _, i := range outside {
		assert.NotEqual(t, "br0", i.Name, "the lab's bridge on the machine")
		assert.False(t, strings.HasPrefix(i.Name, "virbr") && strings.Contains(inside, i.HardwareAddr.String()), i.Name)
	}
}

func TestTheLabSeesNoProcessOfTheMachine(t *testing.T) {
	t.Parallel()
	s := shared(t)
	assert.Equal(t, "lab-init\n", s.sh(t, `tr '\0' '\n' </proc/1/cmdline | head -n 1`))
	for _, name := range []string{"pid", "net", "mnt", "ipc", "uts"} {
		theirs, err := os.Readlink(filepath.Join("/proc", itoa(s.command), "ns", name))
		require.NoError(t, err)
		ours, err := os.Readlink("/proc/self/ns/" + name)
		require.NoError(t, err)
		assert.NotEqual(t, ours, theirs)
	}
}

func TestTheLabsStateIsNotTheMachines(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for _, dir := range []string{"/var/lib/libvirt", "/etc/libvirt", "/var/log", "/var/cache/libvirt", "/var/tmp", "/run"} {
		name := filepath.Join(dir, "lab-outside-"+itoa(os.Getpid()))
		s.sh(t, "touch "+name)
		assert.FileExists(t, s.path(name))
		assert.NoFileExists(t, name)
	}
	temporary := s.environment(t)["TMPDIR"]
	assert.DirExists(t, s.path(temporary))
	assert.NoDirExists(t, temporary)
}

func TestTwoLabsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	one, two := shared(t), another(t)
	const define = `virsh dumpxml my_base_domain |
		sed -e '/<uuid>/d; /<mac /d' -e "s,<name>.*,<name>twin</name><title>of $0</title>," >"$TMPDIR/twin.xml"
		virsh -q define "$TMPDIR/twin.xml"`
	const start = "virsh -q start my_base_domain; virsh domstate my_base_domain; virsh -q destroy my_base_domain"
	for name, s := range map[string]*session{"one": one, "two": two} {
		s.sh(t, strings.ReplaceAll(define, "$0", name))
	}
	for name, s := range map[string]*session{"one": one, "two": two} {
		assert.Equal(t, "of "+name, strings.TrimSpace(s.sh(t, "virsh desc --title twin")))
		assert.Equal(t, "running", strings.TrimSpace(s.sh(t, start)))
	}
	two.sh(t, "virsh -q undefine twin")
	assert.Contains(t, one.sh(t, "virsh list --all --name"), "twin")
	one.sh(t, "virsh -q undefine twin")

	for _, pid := range two.inside() {
		assert.NotContains(t, one.inside(), pid)
	}
	two.signal(t, 15)
	assert.Equal(t, 128+15, two.exitCode(t), "its command ended by the signal")
	assert.Contains(t, one.sh(t, "virsh domstate my_base_domain"), "shut off", "the other lab, after that")
}
