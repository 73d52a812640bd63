package suite

import (
	"fmt"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/overcast-go/overcast/internal/host"
)

// NotExclusiveError reports that a spec used a host with a static address, which
// several processes share, without [Fixtures.Exclusive].
type NotExclusiveError struct {
	Label     string
	Processes int  // of the run
	Reverted  bool // the spec wanted to revert the host, see Pristine
}

// Error names the host and the code to add.
func (e *NotExclusiveError) Error() string {
	if e.Reverted {
		return fmt.Sprintf("host %q is shared by %d processes, and Pristine would change it for their specs: "+
			"add BeforeEach(hosts.Exclusive(%[1]q)) before BeforeEach(hosts.Pristine(%[1]q))", e.Label, e.Processes)
	}
	return fmt.Sprintf("host %q has a static address and is shared by %d processes, and this spec does not have exclusive use of it: "+
		"add BeforeEach(hosts.Exclusive(%[1]q)) to its container", e.Label, e.Processes)
}

// requireExclusive makes specs that use a host without Exclusive fail, if the
// run has several processes. Other nodes may use the host at any time: AfterSuite, for
// example, can know that no spec runs.
func (f *Fixtures) requireExclusive(labels []string) error {
	if processes() < 2 {
		return nil
	}
	for _, label := range labels {
		err := host.Default.Restrict(label, func() error {
			if f.uses.has(label) || !ginkgo.CurrentSpecReport().LeafNodeType.Is(types.NodeTypeIt) {
				return nil
			}
			return &NotExclusiveError{Label: label, Processes: processes()}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
