// Package child is a suite that the tests of package suite run, in several
// processes, with hosts that need no hypervisor. It writes down what is done.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/suite"
)

func TestChild(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "child")
}

// note adds a line to the log that the parent reads. One write of one line
// is not mixed with another process's.
func note(format string, args ...any) {
	f, err := os.OpenFile(os.Getenv("CHILD_LOG"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%d: %s\n", GinkgoParallelProcess(), fmt.Sprintf(format, args...))
}

// noted provides hosts that do nothing but write down what is asked of them.
type noted struct {
	fixture.Common
	Noted string `hocon:"noted"`
	label string
}

type provider struct{}

func (provider) Keys() []string { return []string{"noted"} }

func (provider) Instance(label string, section *hocon.Value) (fixture.Instance, error) {
	made := &noted{Common: fixture.CommonDefaults(), label: label}
	return made, section.Decode(made)
}

func init() { fixture.Register("noted", provider{}) }

func (n *noted) Address() string { return n.Noted }

func (n *noted) SetUp(context.Context) error {
	note("set up %s", n.label)
	switch n.Noted {
	case "fails":
		return errors.New("no memory left for " + n.label)
	case "panics":
		panic("a provider's mistake")
	}
	return nil
}

func (n *noted) TearDown(ctx context.Context) error {
	note("tear down %s", n.label)
	return ctx.Err()
}

var labels = strings.Fields(os.Getenv("CHILD_HOSTS"))

var hosts = suite.Declare(labels...)

func init() {
	if os.Getenv("CHILD_SHARES") != "" {
		SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join)
	} else {
		BeforeSuite(hosts.SetUp)
	}
}

var _ = Describe("specs", func() {
	for n := range 6 {
		It(fmt.Sprintf("runs %d", n), func() {
			for _, label := range labels {
				note("%s is at %s", label, fixture.Host(label).HostName())
			}
		})
	}
})
