package hocon_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/hocon"
)

// generated returns a configuration of about this size with hosts that inherit
// from a template, comments and concatenations.
func generated(size int) []byte {
	var b strings.Builder
	b.WriteString("template { SSH { user = root, timeout = 30, port = 22 }, tags = [kvm, \"test\"] }\n")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `
# host number %[1]d
host_%[1]d = ${template} {
    libvirtURL = "qemu+ssh://user@linux-box-%[1]d/system"
    libvirtBaseDomain = my_base_domain
    networkDeviceId : "my_nat_network"
    SSH.url = "ssh://"${template.SSH.user}"@host-%[1]d?privateKeyFile="${?user.home}"/.ssh/id_rsa"
    SSH.command = """grep {0} /var/lib/libvirt/dnsmasq/my_nat_network.leases | cut -d " " -f 3"""
    memory = 512M, cpus = 4, weight = 1.5e3, enabled = true // as it was
    disks = [ { path = /var/lib/%[1]d.img, size = 20G }, { path = "/data", readOnly = true } ]
    tags += number-%[1]d
}
`, i)
	}
	return []byte(b.String())
}

// substitutions returns n definitions that each refer to the previous one.
func substitutions(n int) []byte {
	var b strings.Builder
	b.WriteString("a0 = 1\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "a%d = ${a%d}\n", i, i-1)
	}
	return []byte(b.String())
}

// appends returns n definitions that each add an element to one array.
func appends(n int) []byte { return []byte(strings.Repeat("list += x\n", n)) }

// paths returns n definitions that each add to one string.
func paths(n int) []byte {
	return []byte("path = /bin\n" + strings.Repeat("path = ${path}\":/usr/bin\"\n", n))
}

func parseAndResolve(tb testing.TB, text []byte) *hocon.Value {
	doc, err := hocon.Parse(tb.Context(), "generated.conf", text, nil)
	if err != nil {
		tb.Fatal(err)
	}
	root, err := doc.Resolve(tb.Context(), &hocon.ResolveOptions{Env: noEnv})
	if err != nil {
		tb.Fatal(err)
	}
	return root
}

// BenchmarkParseAndResolve reports MB/s. The goal is 20 on one core.
func BenchmarkParseAndResolve(b *testing.B) {
	for _, megabytes := range []int{1, 10} {
		b.Run(fmt.Sprintf("%dMB", megabytes), func(b *testing.B) {
			text := generated(megabytes << 20)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				parseAndResolve(b, text)
			}
		})
	}
}

// BenchmarkGrowth reports how many times longer a 10 times larger input takes.
// The goal is at most 12.
func BenchmarkGrowth(b *testing.B) {
	for _, shape := range []struct {
		name string
		text func(n int) []byte
		n    int
	}{
		{"hosts", generated, 1 << 20},
		{"substitutions", substitutions, 10_000},
		{"appends", appends, 10_000},
		{"paths", paths, 1_000},
	} {
		b.Run(shape.name, func(b *testing.B) {
			small, large := shape.text(shape.n), shape.text(10*shape.n)
			rounds := max(b.N, 3)
			ones := timed(b, small, 10*rounds)
			ten := timed(b, large, rounds)
			b.ReportMetric(10*float64(ten)/float64(ones), "x-for-10x")
		})
	}
}

// timed returns the duration of a number of runs. A run before, and a garbage
// collection, give all of them a heap of the same size.
func timed(b *testing.B, text []byte, times int) time.Duration {
	parseAndResolve(b, text)
	runtime.GC()
	start := time.Now()
	for range times {
		parseAndResolve(b, text)
	}
	return time.Since(start)
}
