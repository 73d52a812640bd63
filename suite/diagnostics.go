package suite

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/internal/recovered"
)

// diagnosticsLimit bounds the collection of all hosts' diagnostics after a
// failure.
const diagnosticsLimit = 15 * time.Second

// reportHostsOnFailure adds the hosts' diagnostics to the report of every
// failure, of specs and of suite nodes, before anything is torn down.
func (f *Fixtures) reportHostsOnFailure() {
	if len(f.labels) == 0 {
		return
	}
	// Ginkgo calls the one that was registered last first.
	ginkgo.DeferOnFailure(f.cleanUpIfRunnerEnded, ginkgo.NodeTimeout(teardownLimit))
	ginkgo.DeferOnFailure(f.reportHosts, ginkgo.NodeTimeout(diagnosticsLimit))
}

// reportHosts adds a report entry for each host that is up or being set up.
func (f *Fixtures) reportHosts(ctx ginkgo.SpecContext) {
	report := ginkgo.CurrentSpecReport()
	omitGoroutines(report)
	f.recordFailedNode(ctx, report)
	test := fmt.Sprintf("%s %d", cmp.Or(report.FullText(), report.LeafNodeType.String()), report.ParallelProcess)
	labels := f.labelsToReport(report)
	var found sync.Map // by label
	err := recovered.ForEach(labels, func(label string) error {
		if diagnostics := host.Default.Diagnostics(ctx, label, test); diagnostics.Up || diagnostics.Step != "" {
			found.Store(label, diagnostics)
		}
		return nil
	})
	for _, label := range labels {
		if diagnostics, ok := found.Load(label); ok {
			ginkgo.AddReportEntry("host "+label, diagnostics, ginkgo.ReportEntryVisibilityFailureOrVerbose)
		}
	}
	if err != nil {
		ginkgo.AddReportEntry("host diagnostics failed", err.Error(), ginkgo.ReportEntryVisibilityFailureOrVerbose)
	}
}

// omitGoroutines removes the goroutines from the report of a node that was interrupted.
// Ginkgo has printed those of the node when the interrupt came; the report would have them
// twice more, with all others: hundreds of lines before the hosts. The lists of goroutines
// are the ones that Ginkgo prints from later, as a copy of a report shares them.
func omitGoroutines(report types.SpecReport) {
	if !report.State.Is(types.SpecStateInterrupted) {
		return
	}
	for _, progress := range append(slices.Clone(report.ProgressReports), report.Failure.ProgressReport) {
		for n := range progress.Goroutines {
			progress.Goroutines[n] = types.Goroutine{IsSpecGoroutine: true} // not printed without its ID
		}
	}
}

// labelsToReport returns the hosts that a report has. An interrupt ends the nodes of all
// processes: shared hosts are then in the report of process 1 only.
func (f *Fixtures) labelsToReport(report ginkgo.SpecReport) []string {
	set, err := f.hosts()
	if err != nil || !report.State.Is(types.SpecStateInterrupted) || report.ParallelProcess == 1 {
		return f.labels
	}
	return set.own
}
