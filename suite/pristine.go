package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/internal/host"
)

// Pristine returns the body of a BeforeEach that brings hosts back to the state
// that they had at its first call for these labels, which saves it: every spec then
// starts from the same state. Call it from the outermost container that changes the
// hosts, so that nothing has changed them before the first call.
//
//	BeforeEach(hosts.Pristine("web", "db"))
//
// The hosts of one call are saved and restored at one moment, so that none has
// memories of the other's future. A host whose state cannot be restored, for
// example because it has powered itself off, is set up anew.
//
// A host that several specs can use at the same time, because it has a static
// address or scope = "suite", needs [Fixtures.Exclusive] in a BeforeEach before;
// otherwise the spec fails with a [*NotExclusiveError]. In a run of several
// processes such a host is not set up anew: the spec fails.
func (f *Fixtures) Pristine(labels ...string) func(ginkgo.SpecContext) {
	f.reverted = append(f.reverted, labels...)
	at := callerOf(1)
	return func(ctx ginkgo.SpecContext) {
		f.failAt(at, f.restore(ctx, labels))
	}
}

// restore brings hosts back to their pristine state.
func (f *Fixtures) restore(ctx context.Context, labels []string) error {
	set, err := f.hosts()
	if err != nil {
		return err
	}
	several := processes() > 1
	shared := false
	for _, label := range labels {
		if !slices.Contains(f.labels, label) {
			return fmt.Errorf("Pristine(%q): the suite declares no such host (it declares %s): add the label to suite.Declare", label, strings.Join(f.labels, ", "))
		}
		if f.needed.ready && host.Default.Get(label) == nil {
			return fmt.Errorf("Pristine(%q): the host is not up: add BeforeEach(hosts.Need(%[1]q)) before BeforeEach(hosts.Pristine(%[1]q))", label)
		}
		if !several || !slices.Contains(set.shared, label) {
			continue
		}
		shared = true
		if !f.uses.has(label) {
			return &NotExclusiveError{Label: label, Processes: processes(), Reverted: true}
		}
	}
	return host.Default.Pristine(host.WithProgress(ctx, stepPrinter()), labels, shared)
}
