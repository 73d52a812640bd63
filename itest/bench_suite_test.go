package itest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"libvirt.org/go/libvirt"
)

// BenchmarkFourProcesses compares four processes that each set up a host, until
// a login works, and with four clones by hand at the same time.
func BenchmarkFourProcesses(b *testing.B) {
	const clones = 4
	conn := benchBase(b)
	b.Setenv("OVERCAST_SET", "bench = ${guest}")
	var hand, ours time.Duration
	for b.Loop() {
		hand += inTurn(b, clones, func(n int) (time.Duration, func()) {
			start := time.Now()
			domain := byHandOf(b, conn, "my_base_domain", fmt.Sprintf("by-hand-%d", n))
			logInByHand(b, domain)
			return time.Since(start), func() { must(b, domain.Destroy()) }
		})
		ours += inTurn(b, clones, func(int) (time.Duration, func()) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
			cmd.Env = append(os.Environ(), childVariable+"=bench")
			start := time.Now()
			stop := startChild(b, cmd)
			return time.Since(start), stop
		})
	}
	b.ReportMetric(hand.Seconds()/float64(b.N), "hand-s")
	b.ReportMetric(ours.Seconds()/float64(b.N), "overcast-s")
	b.ReportMetric(ours.Seconds()/hand.Seconds(), "ratio")
}

// inTurn does something so often at once, answers with how long the longest
// took, and undoes it.
func inTurn(b *testing.B, times int, do func(n int) (time.Duration, func())) (longest time.Duration) {
	b.Helper()
	var mu sync.Mutex
	var undo []func()
	var all sync.WaitGroup
	for n := range times {
		all.Go(func() {
			took, back := do(n)
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, took)
			undo = append(undo, back)
		})
	}
	all.Wait()
	for _, back := range undo {
		back()
	}
	return longest
}

// startChild starts a process, waits until its host is up, and answers with what
// ends it.
func startChild(b *testing.B, cmd *exec.Cmd) func() {
	stdin, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "up at ") {
	}
	return func() {
		must(b, stdin.Close())
		for lines.Scan() {
		}
		must(b, cmd.Wait())
	}
}

// logInByHand waits for a clone's lease and until a login works.
func logInByHand(b testing.TB, domain *libvirt.Domain) {
	pem, err := os.ReadFile(os.Getenv("LAB_SSH_KEY"))
	must(b, err)
	key, err := ssh.ParsePrivateKey(pem)
	must(b, err)
	config := &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}, Timeout: 30 * time.Second}
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	limit := time.After(5 * time.Minute)
	for {
		select {
		case <-look.C:
		case <-limit:
			b.Error("no login works")
			return
		}
		interfaces, err := domain.ListAllInterfaceAddresses(libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)
		if err != nil || len(interfaces) == 0 || len(interfaces[0].Addrs) == 0 {
			continue
		}
		client, err := ssh.Dial("tcp", net.JoinHostPort(interfaces[0].Addrs[0].Addr, "22"), config)
		if err == nil {
			client.Close()
			return
		}
	}
}
