package suite

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/fixture"
)

// evidenceLimit bounds the look at all hosts after a failure.
const evidenceLimit = 15 * time.Second

// showOnFailure has every failure, of specs and of what comes before and after
// them, show the hosts as they are then: before anything is torn down.
func (f *Fixtures) showOnFailure() {
	if len(f.labels) == 0 {
		return
	}
	ginkgo.DeferOnFailure(f.show, ginkgo.NodeTimeout(evidenceLimit))
}

// show adds a report entry for each host that is up, or being set up.
func (f *Fixtures) show(ctx ginkgo.SpecContext) {
	report := ginkgo.CurrentSpecReport()
	f.noteFailedNode(ctx, report)
	test := fmt.Sprintf("%s %d", cmp.Or(report.FullText(), report.LeafNodeType.String()), report.ParallelProcess)
	found := make([]fixture.Evidence, len(f.labels))
	var all sync.WaitGroup
	for n, label := range f.labels {
		all.Go(func() { found[n] = fixture.Host(label).Evidence(ctx, test) })
	}
	all.Wait()
	for _, evidence := range found {
		if evidence.Up || evidence.Step != "" {
			ginkgo.AddReportEntry("host "+evidence.Label, evidence, ginkgo.ReportEntryVisibilityFailureOrVerbose)
		}
	}
}
