package child

import (
	"context"
	"fmt"
	"os"

	. "github.com/onsi/ginkgo/v2"

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

// failAsIsToBe fails the spec that CHILD_FAILS names, or all of a process.
func failAsIsToBe(n int) {
	switch os.Getenv("CHILD_FAILS") {
	case fmt.Sprint(n), fmt.Sprint("process ", GinkgoParallelProcess()):
		Fail("as it is to")
	case "first":
		if CurrentSpecReport().NumAttempts == 1 {
			Fail("as it is to, once")
		}
	}
}
