package suite

import (
	"context"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/internal/host"
)

// recordFailedSpec records a failed spec. A failed attempt of a spec that then
// passes is not recorded.
func (f *Fixtures) recordFailedSpec(ctx ginkgo.SpecContext, report ginkgo.SpecReport) {
	if report.Failed() {
		f.recordFailure(ctx)
	}
}

// recordFailedNode records a failed node that is not a spec, as BeforeSuite.
func (f *Fixtures) recordFailedNode(ctx context.Context, report ginkgo.SpecReport) {
	if !report.LeafNodeType.Is(types.NodeTypeIt) {
		f.recordFailure(ctx)
	}
}

// recordFailure keeps the hosts of this process that have keep = "on-failure",
// and asks process 1 to keep the shared ones.
func (f *Fixtures) recordFailure(ctx context.Context) {
	for _, label := range f.labels {
		host.Default.NoteFailure(label)
	}
	message := f.joined.Load()
	if message == nil || len(message.Hosts) == 0 || f.shared.Load() != nil {
		return
	}
	f.failureSent.Do(func() { sendFailure(ctx, message) })
}

// sendFailure reports a failure to process 1 and waits until it is recorded
// there. A process 1 that has ended keeps nothing, so an error has no effect.
func sendFailure(ctx context.Context, message *bootstrapMessage) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), messageLimit)
	defer cancel()
	_, _ = send(ctx, message.Address, request{Run: message.Run, Failed: true})
}
