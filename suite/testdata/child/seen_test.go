package child

import (
	"context"
	"fmt"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

func (n *noted) State() string { return "running" }

func (n *noted) Console(int) []string { return []string{n.label + " login:"} }

func (n *noted) Screenshot(context.Context) ([]byte, error) {
	if n.Noted == "breaks" {
		panic("a screen that breaks")
	}
	return []byte("PNG of " + n.label), nil
}

// told is closed once progress reports have shown that the host a is up.
var told = make(chan struct{})

func init() {
	reports := 0
	AttachProgressReporter(func() string {
		if fixture.Host("a").Status(0).Up {
			if reports++; reports == 2 { // the first may have come too early for what is asked before
				close(told)
			}
		}
		return ""
	})
}

// failAsIsToBe fails the spec that CHILD_FAILS names, or one of a process, which
// the others await.
func failAsIsToBe(ctx context.Context, n int) {
	fails, mark := os.Getenv("CHILD_FAILS"), os.Getenv("CHILD_LOG")+".failed"
	process, isProcess := strings.CutPrefix(fails, "process ")
	switch {
	case fails == fmt.Sprint(n), fails == "first" && CurrentSpecReport().NumAttempts == 1:
		Fail("as it is to")
	case isProcess && process == fmt.Sprint(GinkgoParallelProcess()):
		Expect(os.WriteFile(mark, nil, 0o600)).To(Succeed())
		Fail("as it is to")
	case isProcess:
		Expect(await(ctx, mark)).To(Succeed())
	}
}
