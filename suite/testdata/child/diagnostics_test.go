package child

import (
	"context"
	"fmt"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/internal/host"
)

func (n *noted) State() string { return "running" }

func (n *noted) Console(int) []string { return []string{n.label + " login:"} }

func (n *noted) Screenshot(context.Context) ([]byte, error) {
	if n.Noted == "breaks" {
		panic("bug in a screenshot")
	}
	return []byte("PNG of " + n.label), nil
}

// reported is closed when a progress report has shown that host a is up.
var reported = make(chan struct{})

func init() {
	reports := 0
	AttachProgressReporter(func() string {
		if host.Default.Status("a", 0).Up {
			if reports++; reports == 2 { // in the first, the adapter may have reported before host a was up
				close(reported)
			}
		}
		return ""
	})
}

// failOnPurpose fails the spec that CHILD_FAILS names by its number, its first
// attempt, or the specs of a process; the other processes wait for these.
func failOnPurpose(ctx context.Context, n int) {
	fails, mark := os.Getenv("CHILD_FAILS"), os.Getenv("CHILD_LOG")+".failed"
	process, isProcess := strings.CutPrefix(fails, "process ")
	switch {
	case fails == fmt.Sprint(n), fails == "first" && CurrentSpecReport().NumAttempts == 1:
		Fail("on purpose")
	case isProcess && process == fmt.Sprint(GinkgoParallelProcess()):
		Expect(os.WriteFile(mark, nil, 0o600)).To(Succeed())
		Fail("on purpose")
	case isProcess:
		Expect(await(ctx, mark)).To(Succeed())
	}
}
