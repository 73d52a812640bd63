package suite_test

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// BenchmarkAdapter measures what the adapter adds to the duration of a run: it
// runs a suite that declares no host and, alternately, the same suite with empty
// nodes.
func BenchmarkAdapter(b *testing.B) {
	for name, how := range map[string]struct{ procs, shares string }{
		"SetUp in one process":                {"-procs=1", ""},
		"SetUp in two processes":              {"-procs=2", ""},
		"SetUpShared and Join":                {"-procs=1", sharing},
		"SetUpShared and Join, two processes": {"-procs=2", sharing},
	} {
		b.Run(name, func(b *testing.B) {
			run := func(more ...string) time.Duration {
				cmd := exec.Command(binary("ginkgo"), how.procs, "--no-color", binary("child.test"))
				cmd.Env = append(append(os.Environ(), "CHILD_HOSTS=", "OVERCAST_CONF=", "OVERCAST_SET=", "HOME="+b.TempDir(), how.shares), more...)
				start := time.Now()
				out, err := cmd.CombinedOutput()
				took := time.Since(start)
				if err != nil {
					b.Fatal(string(out))
				}
				return took
			}
			var without, with time.Duration
			for b.Loop() {
				without += run("CHILD_PLAIN=yes")
				with += run()
			}
			n := float64(b.N)
			b.ReportMetric(without.Seconds()*1000/n, "without-ms")
			b.ReportMetric(with.Seconds()*1000/n, "with-ms")
			b.ReportMetric((with-without).Seconds()*1000/n, "added-ms")
		})
	}
}
