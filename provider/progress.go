package provider

import (
	"context"
	"fmt"
	"time"
)

// Steps of a set-up, in their order. A provider may report further steps.
const (
	StepCloned      = "cloned"      // the disks and the definition are created
	StepStarted     = "started"     // the host runs
	StepAddress     = "address"     // the address is known
	StepReachable   = "reachable"   // a login succeeded
	StepProvisioned = "provisioned" // files are copied and the command has run
	StepReady       = "ready"       // the conditions of ready hold
)

// Steps of a set-up whose host is paused and resumed: see [WatchSetUp].
const (
	StepPaused  = "paused"
	StepResumed = "resumed"
)

// StepWaiting is reported by set-up itself, after 15 s without another step. Its detail
// is the last step and the last line of the console.
const StepWaiting = "waiting"

// Progress is a step that the set-up of a host has reached.
type Progress struct {
	Label   string        // of the host; of all hosts, separated by commas, for a step that they take together
	Step    string        // such as StepCloned
	Detail  string        // for instance the name of a domain or an address; may be ""
	Elapsed time.Duration // since the set-up began
}

// String is one line: "nat_host: started after 0.6s".
func (p Progress) String() string {
	text := p.Label + ": " + p.Step
	if p.Detail != "" {
		text += " " + p.Detail
	}
	return fmt.Sprintf("%s after %.1fs", text, p.Elapsed.Seconds())
}

type reporterKey struct{}

// WithReporter returns a context under which [Report] calls report. Set-up does
// this; tests of a provider may do it, too.
func WithReporter(ctx context.Context, report func(step, detail string)) context.Context {
	return context.WithValue(ctx, reporterKey{}, report)
}

// Report reports a step. An [Instance] calls it with the context of its SetUp.
// Waiting for another host is also a step: report it again when the holder
// changes. Without a reporter it does nothing.
func Report(ctx context.Context, step, detail string) {
	if report, ok := ctx.Value(reporterKey{}).(func(step, detail string)); ok {
		report(step, detail)
	}
}
