package itest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
)

// elsewhereVariable names the host that TestElsewhere sets up.
const elsewhereVariable = "ITEST_ELSEWHERE"

// TestElsewhere is a plain test that specs run on a machine without a route to
// the guest.
func TestElsewhere(t *testing.T) {
	label := os.Getenv(elsewhereVariable)
	if label == "" {
		t.Skip("a helper process of specs, which set " + elsewhereVariable)
	}
	var forwarded string
	t.Run("while it is up", func(t *testing.T) {
		host := fixture.Up(t, label)
		result, err := host.Run(t.Context(), "cat /etc/hostname")
		require.NoError(t, err)
		assert.Equal(t, "guest\n", result.Stdout)

		dir := t.TempDir()
		there, back := filepath.Join(dir, "there"), filepath.Join(dir, "back")
		require.NoError(t, os.WriteFile(there, []byte("a\x00b\n"), 0o640))
		require.NoError(t, host.Upload(t.Context(), there, "/root/file"))
		require.NoError(t, host.Download(t.Context(), "/root/file", back))
		text, err := os.ReadFile(back)
		require.NoError(t, err)
		assert.Equal(t, "a\x00b\n", string(text))

		conn, err := host.DialContext(t.Context(), "tcp", label+":22")
		require.NoError(t, err)
		greets(t, conn)

		NewWithT(t).Expect(host).To(And(BeReachableOnSSH(), BeReachableOn(22).Within(10*time.Second), HaveMounted("/").Within(10*time.Second), HaveAddressIn("192.168.122.0/24")))

		forwarded = net.JoinHostPort(host.HostName(), strconv.Itoa(host.Port(22)))
		assert.Equal(t, host.Port(22), host.Port(22))
		for range 2 {
			conn, err = net.Dial("tcp", forwarded)
			require.NoError(t, err)
			greets(t, conn)
		}
		fmt.Println("reached", host, "at", forwarded)
	})
	_, err := net.Dial("tcp", forwarded)
	require.Error(t, err, "the forward, when the host is gone")
}

func greets(t *testing.T, conn net.Conn) {
	t.Helper()
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	banner := make([]byte, 4)
	_, err := io.ReadFull(conn, banner)
	require.NoError(t, err)
	assert.Equal(t, "SSH-", string(banner))
}

// elsewhere is a machine that has linux-box for a neighbour, and no route to
// the networks behind it.
var elsewhere = []string{"ip", "netns", "exec", "dhcp-box"}

var _ = Describe("a guest that only the hypervisor can reach", func() {
	for _, reach := range []string{"auto", "hypervisor"} {
		It("is reached through the hypervisor with reach = "+reach, func() {
			Expect(exec.Command(elsewhere[0], append(elsewhere[1:], "ping", "-c", "1", "192.168.122.1")...).Run()).NotTo(Succeed())
			test := otherRun{
				via:    elsewhere,
				config: patientSeed("nat-network") + "\nnat_host { connection.url = \"ssh://root@{0}?privateKeyFile=\"${LAB_SSH_KEY}, reach = " + reach + " }\n",
			}.runs("TestElsewhere", elsewhereVariable+"=nat_host")
			Eventually(test, 6*time.Minute).Should(gexec.Exit(0))
			Expect(string(test.Out.Contents())).To(MatchRegexp(`reached nat_host \(192\.168\.122\.\d+\) at 127\.0\.0\.1:\d+`))
		})
	}

	It("is not reached with reach = direct", func() {
		test := otherRun{
			via:    elsewhere,
			config: patientSeed("nat-network") + "\nnat_host { connection.url = \"ssh://root@{0}?privateKeyFile=\"${LAB_SSH_KEY}, provision.startTimeout = 2, reach = direct }\n",
		}.runs("TestElsewhere", elsewhereVariable+"=nat_host")
		Eventually(test, 6*time.Minute).Should(gexec.Exit(1))
		Expect(string(test.Out.Contents())).To(ContainSubstring("network is unreachable"))
	})

	It("has a forwarded address on this machine if no login is configured", func() {
		host := otherRun{via: elsewhere, config: patientSeed("nat-network")}.bringsUp("nat_host")
		Expect(host.address()).To(Equal("127.0.0.1"))
		host.ends()
	})
})

// setNeighbour makes a machine the permanent neighbour with an address.
func setNeighbour(address, mac, bridge string) {
	GinkgoHelper()
	Expect(exec.Command("ip", "neighbour", "replace", address, "lladdr", mac, "dev", bridge, "nud", "permanent").Run()).To(Succeed())
}

var _ = Describe("address look-up", func() {
	It("uses the guest agent", fast, func(ctx SpecContext) {
		configure(`agent_host = ${guest} { libvirtBaseDomain = lab-agent, ipLookupStrategy = agent }`)
		host := up(ctx, "agent_host")
		Expect(host.HostName()).To(HavePrefix("192.168.122."))
		expectOnNetwork("agent_host", "my_nat_network", host.HostName())
	})

	It("uses a neighbour table that libvirt reads partially", fast, func(ctx SpecContext) {
		batch := ""
		for n := range 250 {
			batch += fmt.Sprintf("neighbour replace 192.0.2.%d lladdr 52:54:01:00:00:%02x dev virbr0 nud permanent\n", n+1, n)
			batch += fmt.Sprintf("neighbour replace 198.51.100.%d lladdr 52:54:01:00:01:%02x dev virbr0 nud permanent\n", n+1, n)
		}
		ip := func(commands string) {
			GinkgoHelper()
			cmd := exec.Command("ip", "-batch", "-")
			cmd.Stdin = strings.NewReader(commands)
			out, err := cmd.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
		}
		DeferCleanup(func() { ip("neighbour flush dev virbr0 nud permanent\n") })
		ip(batch)
		configure(`arp_host = ${guest} { ipLookupStrategy = arp }`)
		Expect(up(ctx, "arp_host").HostName()).To(HavePrefix("192.168.122."))
	})

	It("ignores the address that an earlier clone with the same MAC address had on another network", func(ctx SpecContext) {
		define(asAnother("my_base_domain", "moved"))
		configure(`moved_host = ${guest} { libvirtBaseDomain = moved, ipLookupStrategy = arp }`)
		address := up(ctx, "moved_host").HostName()
		mac := clones("moved_host")[0].Devices.Interfaces[0].MAC.Address
		Expect(fixture.TearDown(ctx, "moved_host")).To(Succeed())
		const other = "192.168.124.77"
		setNeighbour(other, mac, "br0")
		DeferCleanup(func() { Expect(exec.Command("ip", "neighbour", "del", other, "dev", "br0").Run()).To(Succeed()) })

		Expect(up(ctx, "moved_host").HostName()).To(Equal(address))
		Expect(clones("moved_host")[0].Devices.Interfaces[0].MAC.Address).To(Equal(mac))
	})

	It("uses the hypervisor's neighbour table, here and on another machine", func(ctx SpecContext) {
		configure(`neighbour_host = ${guest} { ipLookupStrategy = arp }`)
		host := up(ctx, "neighbour_host")
		Expect(host.HostName()).To(HavePrefix("192.168.122."))
		expectOnNetwork("neighbour_host", "my_nat_network", host.HostName())

		far := otherRun{via: elsewhere, config: seed("nat-network") + "nat_host { ipLookupStrategy = arp, addressTimeout = 60 }"}.bringsUp("nat_host")
		far.address()
		far.ends()
	})

	It("finds an IPv6 address with the guest agent and logs in there", func(ctx SpecContext) {
		network := filepath.Join(GinkgoT().TempDir(), "six.xml")
		Expect(os.WriteFile(network, []byte(`<network><name>six</name><bridge name='virbr6' stp='off' delay='0'/>
			<ip family='ipv6' address='fd00:6::1' prefix='64'/></network>`), 0o644)).To(Succeed())
		virsh("net-create", network)
		DeferCleanup(func() { virsh("net-destroy", "six") })
		define(asAnother("lab-agent", "six-base", "my_nat_network", "six"))
		configure(`six_host = ${guest} { libvirtBaseDomain = six-base, networkDeviceId = six }`)
		host := up(ctx, "six_host")
		Expect(host.HostName()).To(HavePrefix("fd00:6:"))
		result, err := host.Run(ctx, "cat /etc/hostname")
		Expect(err).NotTo(HaveOccurred())
		Expect(result.Stdout).To(Equal("guest\n"))
	})

	It("refuses a base domain without an agent channel", func(ctx SpecContext) {
		configure(`mute = ${guest} { ipLookupStrategy = agent }`)
		_, err := fixture.SetUp(ctx, "mute")
		Expect(err).To(MatchError(ContainSubstring(`base domain "my_base_domain" has no channel for a guest agent: add one`)))
	})

	It("distinguishes a guest that is up from one that refuses logins", func(ctx SpecContext) {
		configure(`deaf_host = ${guest} { connection.url = "ssh://root@{0}:23", provision.startTimeout = 10 }`)
		_, err := fixture.SetUp(ctx, "deaf_host")
		Expect(err).To(MatchError(fixture.ErrNotReachable))
		Expect(err).To(MatchError(MatchRegexp(`52:54:\S+ answers ARP requests for it on virbr0, so that its system is up \(auto: lease from libvirt network my_nat_network, .*runs sshd`)))
	})

	It("fails a set-up whose login a running sshd refuses, with what was tried", func(ctx SpecContext) {
		configure(`closed_host = ${guest} { connection.url = "ssh://stranger@{0}?privateKeyFile="${LAB_SSH_KEY}, provision.startTimeout = 10 minutes }`)
		_, err := fixture.SetUp(ctx, "closed_host")
		Expect(err).To(MatchError(fixture.ErrNotReachable))
		Expect(err).To(MatchError(fixture.ErrLoginRefused))
		Expect(err).To(MatchError(And(
			MatchRegexp(`logging in as ssh://stranger@\S+: refused \d+ times in a row: check the user, the key and the password`),
			ContainSubstring("tried key "+os.Getenv("LAB_SSH_KEY")), ContainSubstring("the server offers publickey"),
			Not(ContainSubstring("startTimeout")))))
	})

	It("reports what each strategy has seen", func(ctx SpecContext) {
		// A disk without a system: nothing ever asks for an address.
		define(`<domain type='qemu'><name>silent</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
			<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/lab-two-disks-data.img'/><target dev='vda'/></disk>
			<interface type='network'><source network='my_nat_network'/></interface>
			<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`)
		configure(`silent_host = ${guest} { libvirtBaseDomain = silent, addressTimeout = 2 }`)
		_, err := fixture.SetUp(ctx, "silent_host")
		Expect(err).To(MatchError(fixture.ErrAddressNotFound))
		Expect(err).To(MatchError(And(
			MatchRegexp(`lease: no DHCP request seen from 52:54:\S+: libvirt network my_nat_network knows no lease`),
			ContainSubstring("agent: the guest agent does not answer: check that qemu-guest-agent runs in the base domain's system"),
			MatchRegexp(`arp: the hypervisor's neighbour table has not seen 52:54:`),
			ContainSubstring("addressTimeout of 2s expired"))))
	})
})
