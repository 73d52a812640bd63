package itest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

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

// BenchmarkRevertMemory measures a checkpoint and reverts of guests of several sizes,
// half of whose memory has content that cannot be compressed.
func BenchmarkRevertMemory(b *testing.B) {
	for _, mebibytes := range []uint{256, 1024} {
		b.Run(fmt.Sprintf("%dMiB", mebibytes), func(b *testing.B) {
			conn := benchBase(b)
			larger := withMemory(b, conn, "my_base_domain", "larger", mebibytes)
			defer larger.Undefine()
			b.Setenv("OVERCAST_SET", "larger_host = ${guest} { libvirtBaseDomain = larger }")
			host, err := fixture.SetUp(b.Context(), "larger_host")
			must(b, err)
			defer fixture.TearDown(b.Context(), "larger_host")
			runIn(b, host, fmt.Sprintf("mkdir /mem && mount -t tmpfs -o size=90%% mem /mem && dd if=/dev/urandom of=/mem/fill bs=1M count=%d", mebibytes/2))
			start := time.Now()
			checkpoint, err := host.Checkpoint(b.Context())
			must(b, err)
			saved := time.Since(start)
			for b.Loop() {
				must(b, checkpoint.Revert(b.Context()))
			}
			b.ReportMetric(saved.Seconds()*1000, "checkpoint-ms")
		})
	}
}

// withMemory defines a copy of a base with another size of its memory.
func withMemory(b *testing.B, conn *libvirt.Connect, from, name string, mebibytes uint) *libvirt.Domain {
	b.Helper()
	definition := definitionOf(b, conn, from, name)
	definition.CurrentMemory = nil
	definition.Memory = &libvirtxml.DomainMemory{Value: mebibytes, Unit: "MiB"}
	text, err := definition.Marshal()
	must(b, err)
	domain, err := conn.DomainDefineXML(text)
	must(b, err)
	return domain
}

// BenchmarkRevertHosts measures a revert of several hosts by one Pristine, until each
// has answered.
func BenchmarkRevertHosts(b *testing.B) {
	for _, count := range []int{1, 4, 16} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			benchBase(b)
			var labels []string
			var set strings.Builder
			for n := range count {
				labels = append(labels, fmt.Sprintf("cut_%d", n))
				fmt.Fprintf(&set, "cut_%d = ${guest} { provision.startTimeout = 5 minutes, addressTimeout = 5 minutes }\n", n)
			}
			b.Setenv("OVERCAST_SET", set.String())
			setUpAll(b, labels)
			for _, label := range labels {
				defer fixture.TearDown(b.Context(), label)
				fixture.Host(label).HostName() // Pristine must assume from now on that the host is used
			}
			must(b, registry.Pristine(b.Context(), labels, false)) // saves the state
			for b.Loop() {
				must(b, registry.Pristine(b.Context(), labels, false))
			}
		})
	}
}

// BenchmarkRevertGrowth measures by how much 100 reverts enlarge an overlay. The guest
// writes 4 MB before each.
func BenchmarkRevertGrowth(b *testing.B) {
	benchBase(b)
	b.Setenv("OVERCAST_SET", "growing = ${guest} { overlay = file }")
	host, err := fixture.SetUp(b.Context(), "growing")
	must(b, err)
	defer fixture.TearDown(b.Context(), "growing")
	checkpoint, err := host.Checkpoint(b.Context())
	must(b, err)
	overlays, err := filepath.Glob(imageDir + "/overcast-growing-*")
	must(b, err)
	overlay := overlays[0]
	for b.Loop() {
		b.ReportMetric(megabytesOf(b, overlay), "MB-before")
		for n := range 100 {
			runIn(b, host, "dd if=/dev/urandom of=/root/noise bs=1M count=4 2>/dev/null && sync")
			must(b, checkpoint.Revert(b.Context()))
			if n == 9 {
				b.ReportMetric(megabytesOf(b, overlay), "MB-after-10")
			}
		}
		b.ReportMetric(megabytesOf(b, overlay), "MB-after-100")
	}
}

// megabytesOf returns how much of a file is allocated.
func megabytesOf(b *testing.B, path string) float64 {
	b.Helper()
	var stat syscall.Stat_t
	must(b, syscall.Stat(path, &stat))
	return float64(stat.Blocks) * 512 / 1e6
}

// runIn runs a command that must succeed.
func runIn(b *testing.B, host *fixture.CloudHost, command string) {
	b.Helper()
	result, err := host.Run(b.Context(), command)
	must(b, err)
	if result.ExitCode != 0 {
		b.Fatalf("%s: %s%s", command, result.Stdout, result.Stderr)
	}
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
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}, Timeout: 30 * time.Second,
	})
	must(b, err)
	defer client.Close()
	session, err := client.NewSession()
	must(b, err)
	must(b, session.Run(command))
}
