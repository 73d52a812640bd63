package itest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// libvirtd 9.0 and 11.3 crash now and then, with a corrupted heap, while their clients are
// killed, which many specs do. So process 1 starts libvirtd again, as systemd does, and a
// spec that has failed meanwhile is tried once more (--flake-attempts=2 in the Makefile).
// Without a crash, a spec that passes at its second attempt only is a defect of it or of the
// product: make prints it, and more than maxSecondAttempts of them fail the run.
const maxSecondAttempts = 2

// killedOnPurpose exists while a spec has killed libvirtd.
const killedOnPurpose = "/run/lab/tmp/libvirtd-is-killed"

// crashLog has a line for each crash.
const crashLog = "/run/lab/tmp/libvirtd-crashes"

// libvirtdCrashes is how often libvirtd has crashed in this run.
func libvirtdCrashes() int {
	text, _ := os.ReadFile(crashLog) // without a crash it does not exist
	return strings.Count(string(text), "\n")
}

// superviseLibvirtd starts libvirtd when it has crashed, until the returned function is called.
func superviseLibvirtd() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		defer GinkgoRecover()
		for ; ctx.Err() == nil; wait(ctx, 200*time.Millisecond) {
			if exec.Command("pgrep", "-u", "root", "-x", "libvirtd").Run() == nil {
				continue
			}
			if _, err := os.Stat(killedOnPurpose); err == nil {
				continue
			}
			if exec.Command("pgrep", "-u", "root", "-x", "libvirtd").Run() == nil {
				continue // a spec has started it in between
			}
			noteCrash()
			_ = exec.Command("libvirtd", "--daemon").Run() // it fails if a spec does the same
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

func noteCrash() {
	log, err := os.OpenFile(crashLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	Expect(err).NotTo(HaveOccurred())
	fmt.Fprintln(log, time.Now().Format(time.RFC3339))
	Expect(log.Close()).To(Succeed())
	fmt.Fprintln(os.Stderr, "libvirtd has crashed and is started again")
}

// crashesBefore is the number of crashes before the spec that runs.
var crashesBefore int

var _ = BeforeEach(func() { crashesBefore = libvirtdCrashes() })

// firstFailures is a file with a line for the first failure of each spec that has failed, or has
// passed at its second attempt. make prints it after everything else, where it is found in a log
// of which only the end is kept.
const firstFailures = "../.build/first-failures"

var _ = ReportAfterSuite("the first failure of each spec that did not pass at once", func(report Report) {
	var lines strings.Builder
	secondAttempts := 0
	for _, spec := range report.SpecReports {
		switch {
		case spec.Failed():
		case spec.NumAttempts > 1 && len(spec.AdditionalFailures) > 0:
			secondAttempts++
			lines.WriteString("passed at its second attempt only: ")
		default:
			continue
		}
		failure := spec.Failure
		if len(spec.AdditionalFailures) > 0 {
			failure = spec.AdditionalFailures[0].Failure
		}
		message := strings.Join(strings.Fields(failure.Message), " ")
		fmt.Fprintf(&lines, "%s, at %s: %.600s\n", spec.FullText(), failure.Location, message)
	}
	Expect(os.WriteFile(firstFailures, []byte(lines.String()), 0o644)).To(Succeed())
	if libvirtdCrashes() == 0 {
		Expect(secondAttempts).To(BeNumerically("<=", maxSecondAttempts), "%s", &lines)
	}
})
