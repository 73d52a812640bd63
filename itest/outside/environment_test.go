//go:build linux

package outside

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

func TestTheCommandFindsWhatItIsPromised(t *testing.T) {
	t.Parallel()
	s := shared(t)
	env := s.environment(t)

	key := s.path(env["LAB_SSH_KEY"])
	info, err := os.Stat(key)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	text, err := os.ReadFile(key)
	require.NoError(t, err)
	_, err = ssh.ParsePrivateKey(text)
	require.NoError(t, err)

	conf, err := os.ReadFile(s.path(env["LAB_CONF"]))
	require.NoError(t, err)
	for _, host := range []string{"nat_host", "routed_host", "bridged_host", "static_host", "two_disks_host", "agent_host"} {
		assert.Contains(t, string(conf), host+" = ")
	}
	assert.NotNil(t, net.ParseIP(env["LAB_STATIC_IP"]))
	assert.Equal(t, "qemu:///system", env["LIBVIRT_DEFAULT_URI"])
	assert.DirExists(t, s.path(env["HOME"]))
	assert.Equal(t, env["HOME"]+"\n", s.sh(t, "getent passwd root | cut -d: -f6"), "root's home in the lab's accounts")
}

func TestBaseDomainsAreShutOff(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for _, name := range []string{"my_base_domain", "lab-static", "lab-two-disks", "lab-agent"} {
		assert.Equal(t, "shut off", strings.TrimSpace(s.sh(t, "virsh domstate "+name)), name)
		assert.Contains(t, s.sh(t, "virsh dumpxml "+name), "<domain type='qemu'>", "%s, with LAB_ACCEL=tcg", name)
	}
	disks := s.sh(t, "virsh domblklist --details lab-two-disks | grep -c '^ *file'")
	assert.Equal(t, "2\n", disks)
	assert.Contains(t, s.errors.String(), "guests are emulated")
}

func TestNetworksAreActive(t *testing.T) {
	t.Parallel()
	s := shared(t)
	active := strings.Fields(s.sh(t, "virsh net-list --name"))
	assert.ElementsMatch(t, []string{"my_nat_network", "my_routed_network"}, active)
	assert.Contains(t, s.sh(t, "virsh net-dumpxml my_nat_network"), "<forward mode='nat'>")
	assert.Contains(t, s.sh(t, "virsh net-dumpxml my_routed_network"), "<forward mode='route'")
	assert.Contains(t, s.sh(t, "ip -details link show br0"), "bridge ")
}

// Nothing in the lab is a stand-in for what it tests against.
func TestDaemonsAreTheRealOnes(t *testing.T) {
	t.Parallel()
	s := shared(t)
	running := map[string]bool{}
	for _, pid := range s.inside() {
		proc := filepath.Join("/proc", itoa(pid), "exe")
		if text, err := os.ReadFile(proc); err == nil && bytes.HasPrefix(text, []byte("\x7fELF")) {
			exe, _ := os.Readlink(proc)
			running[exe] = true
		}
	}
	for _, daemon := range []string{"virtlogd", "libvirtd", "dnsmasq", "sshd"} {
		assert.Contains(t, running, "/usr/sbin/"+daemon)
	}
}

func TestTheCommandIsTheKeepersOnlyChildBesideDaemons(t *testing.T) {
	t.Parallel()
	s := shared(t)
	children := strings.Fields(s.sh(t, "ps -o comm= --ppid $(ps -o ppid= -p $(pgrep -x cat))"))
	slices.Sort(children)
	assert.Equal(t, []string{"cat", "libvirtd", "ssh-agent", "sshd", "sshd", "virtlogd"}, children)
}

func TestLinuxBoxLetsItsUserIn(t *testing.T) {
	t.Parallel()
	s := shared(t)
	text, err := os.ReadFile(s.path(s.environment(t)["HOME"] + "/.ssh/id_rsa"))
	require.NoError(t, err)
	_, err = ssh.ParsePrivateKey(text)
	require.ErrorAs(t, err, new(*ssh.PassphraseMissingError))
	signer, err := ssh.ParsePrivateKeyWithPassphrase(text, []byte("bigsecret"))
	require.NoError(t, err)

	client, err := s.login(t, ssh.PublicKeys(signer))
	require.NoError(t, err)
	defer client.Close()
	run, err := client.NewSession()
	require.NoError(t, err)
	out, err := run.CombinedOutput("id -un; hostname; virsh -c qemu:///system list --all --name")
	require.NoError(t, err, string(out))
	assert.Subset(t, strings.Fields(string(out)), []string{"user", "linux-box", "lab-static", "lab-two-disks", "my_base_domain"})

	guests, err := os.ReadFile(s.path(s.environment(t)["LAB_SSH_KEY"]))
	require.NoError(t, err)
	stranger, err := ssh.ParsePrivateKey(guests)
	require.NoError(t, err)
	_, err = s.login(t, ssh.PublicKeys(stranger))
	require.ErrorContains(t, err, "unable to authenticate", "with another key")
}

// What the seed document does with libvirt and with SSH, done with their own
// programs, in an environment in which nothing helps.
func TestBothMachinesAreReachedWithoutAQuestion(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const bare = "env -i PATH=$PATH "
	assert.Contains(t, s.sh(t, bare+"virsh -c qemu+ssh://user@linux-box/system list --all --name"), "my_base_domain")
	assert.Equal(t, "dhcp-query-user dhcp-box\n", s.sh(t, bare+"ssh -o BatchMode=yes dhcp-query-user@dhcp-box 'echo $(id -un) $(hostname)'"))
	for _, stranger := range []string{"user@dhcp-box", "dhcp-query-user@linux-box"} {
		assert.Equal(t, "255\n", s.sh(t, "ssh -o BatchMode=yes "+stranger+" true 2>/dev/null || echo $?"), stranger)
	}
}

func TestDHCPBoxIsAMachineOfItsOwn(t *testing.T) {
	t.Parallel()
	s := shared(t)
	on := func(command string) string {
		return s.sh(t, "ssh -o BatchMode=yes dhcp-query-user@dhcp-box '"+command+"'")
	}
	assert.NotContains(t, on("ip -o link"), "br0")
	assert.Equal(t, "192.168.124.0/24 dev eth0 proto kernel scope link src 192.168.124.2 \n", on("ip route"), "no way to the networks of libvirt")
	assert.Equal(t, "no\n", s.sh(t, "test -e /var/lib/dnsmasq && echo yes || echo no"), "its lease file, on linux-box")
	assert.Equal(t, "yes\n", on("test -r /var/lib/dnsmasq && echo yes || echo no"))
}

// One guest on all networks: its leases are in the files that the seed
// document names, and libvirt knows those of its own networks.
func TestLeasesAreInTheFilesOfTheSeedDocument(t *testing.T) {
	t.Parallel()
	s := another(t)
	s.sh(t, "virsh -q start my_base_domain")
	mac := func(network string) string {
		return strings.TrimSpace(s.sh(t, "virsh -q domiflist my_base_domain | awk '$3 == \""+network+"\" {print $5}'"))
	}
	nat, routed, bridged := mac("my_nat_network"), mac("my_routed_network"), mac("br0")
	for question, prefix := range map[string]string{
		"grep " + nat + " /var/lib/libvirt/dnsmasq/my_nat_network.leases":                                    "192.168.122.",
		"grep " + routed + " /var/lib/libvirt/dnsmasq/my_routed_network.leases":                              "192.168.123.",
		"grep " + routed + " /var/lib/libvirt/dnsmasq/my_nat_network.leases":                                 "192.168.123.",
		"ssh -o BatchMode=yes dhcp-query-user@dhcp-box grep " + bridged + " /var/lib/dnsmasq/dnsmasq.leases": "192.168.124.",
		"ssh -o BatchMode=yes dhcp-query-user@dhcp-box grep " + routed + " /var/lib/dnsmasq/dnsmasq.leases":  "192.168.123.",
		"virsh -q net-dhcp-leases my_nat_network --mac " + nat + " | awk '{print 1, 1, $5}'":                 "192.168.122.",
		"virsh -q net-dhcp-leases my_routed_network --mac " + routed + " | awk '{print 1, 1, $5}'":           "192.168.123.",
	} {
		missing := await(ready, func() []string {
			if strings.HasPrefix(s.sh(t, "("+question+" || true) | cut -d ' ' -f 3"), prefix) {
				return nil
			}
			return []string{question}
		})
		assert.Empty(t, missing)
	}
}

// login dials linux-box from a thread that is in the lab's network.
func (s *session) login(t *testing.T, auth ssh.AuthMethod) (*ssh.Client, error) {
	t.Helper()
	address := strings.Fields(s.sh(t, "getent hosts linux-box"))[0] + ":22"
	type dialed struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialed, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this function
		network, err := os.Open(filepath.Join("/proc", itoa(s.command), "ns/net"))
		if err == nil {
			defer network.Close()
			err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- dialed{nil, err}
			return
		}
		conn, err := net.DialTimeout("tcp", address, ready)
		done <- dialed{conn, err}
	}()
	got := <-done
	require.NoError(t, got.err)
	require.NoError(t, got.conn.SetDeadline(time.Now().Add(ready)))
	conn, channels, requests, err := ssh.NewClientConn(got.conn, address, &ssh.ClientConfig{
		User: "user", Auth: []ssh.AuthMethod{auth}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		got.conn.Close()
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}

func TestTheLabSaysWhatItDoesAndHowLongItTook(t *testing.T) {
	t.Parallel()
	said := shared(t).errors.String()
	for _, step := range []string{"making a private place", "copying guest images", "starting libvirt",
		"defining networks", "defining base domains", "keeping lease files", "making the key of linux-box and dhcp-box", "starting linux-box's sshd", "starting dhcp-box"} {
		assert.Regexp(t, regexp.MustCompile(`(?m)^lab: `+step+` \.\.\. \d+\.\ds$`), said)
	}
	assert.Regexp(t, regexp.MustCompile(`(?m)^lab: ready after \d+\.\ds`), said)
}
