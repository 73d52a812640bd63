package itest

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"libvirt.org/go/libvirt"

	"github.com/overcast-go/overcast/fixture"
)

// BenchmarkRevert compares a revert to a checkpoint with the same calls of the monitor
// and one SSH login by hand, and with a new clone. Both set the clock by the login: when
// they return, the guest has answered. The next command is measured apart.
func BenchmarkRevert(b *testing.B) {
	conn := benchBase(b)
	b.Setenv("OVERCAST_SET", "reverted = ${guest}")
	start := time.Now()
	host, err := fixture.SetUp(b.Context(), "reverted")
	must(b, err)
	defer fixture.TearDown(b.Context(), "reverted")
	clone := time.Since(start)
	checkpoint, err := host.Checkpoint(b.Context())
	must(b, err)

	domain := byHandOf(b, conn, "my_base_domain", "by-hand-revert")
	defer domain.Destroy()
	logInByHand(b, domain)
	monitor(b, domain, "savevm by-hand")

	var hand, ours, next time.Duration
	for b.Loop() {
		start := time.Now()
		must(b, domain.Suspend())
		monitor(b, domain, "loadvm by-hand")
		must(b, domain.Resume())
		runByHand(b, domain, fmt.Sprintf("date -s @%d", time.Now().Unix()))
		hand += time.Since(start)

		start = time.Now()
		must(b, checkpoint.Revert(b.Context()))
		ours += time.Since(start)

		start = time.Now()
		_, err := host.Run(b.Context(), "true")
		must(b, err)
		next += time.Since(start)
	}
	b.ReportMetric(hand.Seconds()*1000/float64(b.N), "hand-ms/revert")
	b.ReportMetric(ours.Seconds()*1000/float64(b.N), "overcast-ms/revert")
	b.ReportMetric(next.Seconds()*1000/float64(b.N), "next-run-ms")
	b.ReportMetric(ours.Seconds()/hand.Seconds(), "ratio")
	b.ReportMetric(ours.Seconds()/float64(b.N)/clone.Seconds(), "ratio-to-clone")
}

// monitor runs a command of QEMU's human monitor, which prints nothing if it succeeds.
func monitor(b *testing.B, domain *libvirt.Domain, command string) {
	b.Helper()
	said, err := domain.QemuMonitorCommand(command, libvirt.DOMAIN_QEMU_MONITOR_COMMAND_HMP)
	must(b, err)
	if strings.TrimSpace(said) != "" {
		b.Fatalf("%s: %s", command, said)
	}
}

// runByHand logs in at a clone's lease and runs a command.
func runByHand(b *testing.B, domain *libvirt.Domain, command string) {
	b.Helper()
	pem, err := os.ReadFile(os.Getenv("LAB_SSH_KEY"))
	must(b, err)
	key, err := ssh.ParsePrivateKey(pem)
	must(b, err)
	interfaces, err := domain.ListAllInterfaceAddresses(libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)
	must(b, err)
	client, err := ssh.Dial("tcp", net.JoinHostPort(interfaces[0].Addrs[0].Addr, "22"), &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 30 * time.Second,
	})
	must(b, err)
	defer client.Close()
	session, err := client.NewSession()
	must(b, err)
	must(b, session.Run(command))
}
