package suite

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/fixture"
)

// noteFailedSpec notes a spec that has failed, for good: an attempt that did is
// none.
func (f *Fixtures) noteFailedSpec(ctx ginkgo.SpecContext, report ginkgo.SpecReport) {
	if report.Failed() {
		f.noteFailure(ctx)
	}
}

// noteFailedNode notes that what comes before or after all specs has failed.
func (f *Fixtures) noteFailedNode(ctx context.Context, report ginkgo.SpecReport) {
	if !report.LeafNodeType.Is(types.NodeTypeIt) {
		f.noteFailure(ctx)
	}
}

// noteFailure has hosts kept whose configuration wants that after a failure.
// Those that all processes share are process 1's to keep, which is told.
func (f *Fixtures) noteFailure(ctx context.Context) {
	for _, label := range f.labels {
		fixture.NoteFailure(label)
	}
	invited := f.invited.Load()
	if invited == nil || len(invited.Coming) == 0 || f.boot.Load() != nil {
		return
	}
	f.failed.Do(func() { tellFailure(ctx, invited) })
}

// tellFailure tells process 1 that something has failed here, and waits until
// it has taken note. One that has ended keeps nothing.
func tellFailure(ctx context.Context, invited *invitation) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellLimit)
	defer cancel()
	_, _ = ask(ctx, invited.At, question{Run: invited.Run, Failed: true})
}
