package suite

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/recovered"
)

// evidenceLimit bounds the look at all hosts after a failure.
const evidenceLimit = 15 * time.Second

// showOnFailure has every failure, of specs and of what comes before and after
// them, show the hosts as they are then: before anything is torn down.
func (f *Fixtures) showOnFailure() {
	if len(f.labels) == 0 {
		return
	}
	ginkgo.DeferOnFailure(f.heedRunner, ginkgo.NodeTimeout(teardownLimit)) // the last one comes first
	ginkgo.DeferOnFailure(f.show, ginkgo.NodeTimeout(evidenceLimit))
}

// show adds a report entry for each host that is up, or being set up.
func (f *Fixtures) show(ctx ginkgo.SpecContext) {
	report := ginkgo.CurrentSpecReport()
	f.noteFailedNode(ctx, report)
	test := fmt.Sprintf("%s %d", cmp.Or(report.FullText(), report.LeafNodeType.String()), report.ParallelProcess)
	var found sync.Map // evidence by label
	err := recovered.ForEach(f.labels, func(label string) error {
		if evidence := fixture.Host(label).Evidence(ctx, test); evidence.Up || evidence.Step != "" {
			found.Store(label, evidence)
		}
		return nil
	})
	for _, label := range f.labels {
		if evidence, ok := found.Load(label); ok {
			ginkgo.AddReportEntry("host "+label, evidence, ginkgo.ReportEntryVisibilityFailureOrVerbose)
		}
	}
	if err != nil {
		ginkgo.AddReportEntry("looking at the hosts", err.Error(), ginkgo.ReportEntryVisibilityFailureOrVerbose)
	}
}
