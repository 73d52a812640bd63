package probe_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/probe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// networkVariable tells a test that it runs in a network of its own.
const networkVariable = "PROBE_NETWORK"

// network is a bridge, br9, at 192.0.2.1/24, and three machines on it: 52:54:00:00:00:01
// and 52:54:00:00:00:02 both have 192.0.2.9, and 52:54:00:00:00:03 has 192.0.2.77.
// They are there while the command runs that the script's arguments are.
const network = `
machines=
trap 'kill $machines' EXIT
ip link add br9 type bridge forward_delay 0
ip address add 192.0.2.1/24 dev br9
ip link set br9 up
n=0
for address in 192.0.2.9 192.0.2.9 192.0.2.77; do
	n=$((n+1))
	unshare --net sh -c 'while ! ip link set eth0 up; do sleep 0.01; done; ip address add '$address'/24 dev eth0; exec sleep 600' >/dev/null 2>&1 &
	machine=$!
	machines="$machines $machine"
	until [ "$(readlink /proc/$machine/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
	ip link add port$n type veth peer name eth0 address 52:54:00:00:00:0$n netns $machine
	ip link set port$n master br9 up
done
"$@"
`

// inNetwork runs the rest of a test in the network, in a process of its own.
func inNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(networkVariable) != "" {
		return true
	}
	cmd := exec.Command("sh", "-ec", network, "sh", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), networkVariable+"=1")
	ids := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: ids(os.Getuid()), GidMappings: ids(os.Getgid()),
		Pdeathsig: syscall.SIGTERM, // the trap ends the machines
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name(), "%s", out)
	return false
}

// within is a limit that is far from what it takes.
func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func strung(macs []net.HardwareAddr) (out []string) {
	for _, m := range macs {
		out = append(out, m.String())
	}
	return out
}

func TestAnswersAreThoseOfAllMachines(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	assert.Eventually(t, func() bool {
		macs, err := probe.Answers(within(t, time.Second), "", netip.MustParseAddr("192.0.2.9"), 200*time.Millisecond)
		require.NoError(t, err)
		return assert.ObjectsAreEqual(2, len(macs)) && strings.Contains(strings.Join(strung(macs), " "), "00:01") && strings.Contains(strings.Join(strung(macs), " "), "00:02")
	}, 20*time.Second, 10*time.Millisecond)
	assert.Eventually(t, func() bool {
		macs, err := probe.Answers(within(t, time.Second), "", netip.MustParseAddr("192.0.2.77"), 0)
		require.NoError(t, err)
		return assert.ObjectsAreEqual([]string{"52:54:00:00:00:03"}, strung(macs))
	}, 20*time.Second, 10*time.Millisecond)
	macs, err := probe.Answers(within(t, 100*time.Millisecond), "", netip.MustParseAddr("192.0.2.78"), 0)
	require.NoError(t, err)
	assert.Empty(t, macs)
	assert.Equal(t, "52:54:00:00:00:03 answers ARP requests for it on br9", probe.ARP(t.Context(), netip.MustParseAddr("192.0.2.77")))

	_, err = probe.Answers(t.Context(), "", netip.MustParseAddr("198.51.100.1"), 0)
	require.ErrorIs(t, err, probe.ErrNotOnLink)
	_, err = probe.Answers(t.Context(), "lo", netip.MustParseAddr("192.0.2.77"), 0)
	require.ErrorIs(t, err, probe.ErrNotOnLink)
}

func TestScanFindsTheAddressOfAMachine(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	mac, err := net.ParseMAC("52:54:00:00:00:03")
	require.NoError(t, err)
	assert.Eventually(t, func() bool {
		found, err := probe.Scan(within(t, time.Minute), "br9", mac)
		require.NoError(t, err)
		return found == netip.MustParseAddr("192.0.2.77")
	}, 20*time.Second, 10*time.Millisecond)
	found, err := probe.Scan(within(t, time.Minute), "br9", net.HardwareAddr{0x52, 0x54, 0, 0, 0, 4})
	require.NoError(t, err)
	assert.False(t, found.IsValid())

	require.NoError(t, exec.Command("ip", "address", "flush", "dev", "br9").Run())
	_, err = probe.Scan(t.Context(), "br9", mac)
	require.ErrorIs(t, err, probe.ErrNotOnLink)
	require.NoError(t, exec.Command("ip", "address", "add", "198.18.0.1/16", "dev", "br9").Run())
	_, err = probe.Scan(t.Context(), "br9", mac)
	require.ErrorIs(t, err, probe.ErrTooLarge)
	_, err = probe.Scan(t.Context(), "br0", mac)
	require.Error(t, err)
}

func TestNeighboursAreThoseThatHaveAnswered(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	for _, entry := range []string{
		"192.0.2.20 lladdr 52:54:00:00:00:20 nud stale", "192.0.2.21 lladdr 52:54:00:00:00:21 nud permanent",
		"fd00::22 lladdr 52:54:00:00:00:22 nud permanent", "192.0.2.23 lladdr 52:54:00:00:00:23 nud failed",
	} {
		out, err := exec.Command("ip", append([]string{"neighbour", "replace", "dev", "br9", "to"}, strings.Fields(entry)...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	out, err := exec.Command("sh", "-ec", "ip link add br8 type bridge; ip link set br8 up; ip neighbour replace to 192.0.2.24 lladdr 52:54:00:00:00:24 dev br8 nud permanent").CombinedOutput()
	require.NoError(t, err, "%s", out)
	table, err := probe.Neighbours("br9")
	require.NoError(t, err)
	confirmed := map[string]bool{}
	for _, n := range table {
		confirmed[n.Addr.String()+" "+n.MAC.String()] = n.Confirmed
	}
	assert.Equal(t, map[string]bool{"192.0.2.20 52:54:00:00:00:20": false, "192.0.2.21 52:54:00:00:00:21": true, "fd00::22 52:54:00:00:00:22": true}, confirmed)

	out, err = exec.Command("sysctl", "-qw", "net.ipv6.conf.br8.disable_ipv6=1").CombinedOutput()
	require.NoError(t, err, "%s", out)
	all, err := probe.Neighbours("br8")
	require.NoError(t, err)
	assert.Len(t, all, len(table)+1, "this machine has no address on br8")
	_, err = probe.Neighbours("br7")
	require.Error(t, err)
}

func TestAnswersNeedTheRightToAsk(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	out, err := exec.Command("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", os.Args[0], "-test.run=^TestAnswersWithoutTheRight$", "-test.v").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestAnswersWithoutTheRight", "%s", out)
}

// TestAnswersWithoutTheRight is run by TestAnswersNeedTheRightToAsk.
func TestAnswersWithoutTheRight(t *testing.T) {
	if os.Getenv(networkVariable) == "" {
		t.Skip("a helper process of TestAnswersNeedTheRightToAsk")
	}
	_, err := probe.Answers(within(t, time.Second), "", netip.MustParseAddr("192.0.2.9"), 0)
	require.ErrorIs(t, err, os.ErrPermission)
}
