// Package child is a suite that the tests of package suite run in several
// processes. Its hosts need no hypervisor: they write what is done with them to a
// log. Environment variables choose what the suite does.
package child

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/suite"
)

func TestChild(t *testing.T) {
	if _, isSet := os.LookupEnv("CHILD_HOSTS"); !isSet {
		t.Skip("a helper process of the tests of package suite, which set CHILD_HOSTS")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "child")
}

// note appends a line to the log that the parent reads. One write call writes a
// whole line, so lines of several processes do not mix.
func note(format string, args ...any) {
	f, err := os.OpenFile(os.Getenv("CHILD_LOG"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "%d: %s\n", GinkgoParallelProcess(), fmt.Sprintf(format, args...))
}

// noted is a host that only writes to the log.
type noted struct {
	provider.Settings
	Noted   string `hocon:"noted"`
	Static  bool   `hocon:"static"`  // shared and unique
	Creates string `hocon:"creates"` // a file that set-up creates first
	Awaits  string `hocon:"awaits"`  // a file that set-up then waits for
	Lingers bool   `hocon:"lingers"` // teardown takes a second
	label   string
}

type notedProvider struct{}

func (notedProvider) Keys() []string { return []string{"noted"} }

func (notedProvider) Instance(label string, section *hocon.Value) (provider.Instance, error) {
	made := &noted{Settings: provider.DefaultSettings(), label: label}
	err := section.Decode(made)
	if made.Static {
		made.Scope = provider.ScopeSuite
	}
	return made, err
}

func (n *noted) IsExclusive() bool { return n.Static }

func init() { provider.Register("noted", notedProvider{}) }

func (n *noted) Address() string { return n.Noted }

func (n *noted) SetUp(ctx context.Context) error {
	note("set up %s", n.label)
	provider.Report(ctx, provider.StepCloned, "as "+n.label)
	if n.Creates != "" {
		if err := os.WriteFile(n.Creates, nil, 0o600); err != nil {
			return err
		}
	}
	if err := await(ctx, n.Awaits); err != nil {
		return err
	}
	switch n.Noted {
	case "until reported":
		<-reported
	case "fails":
		return errors.New("no memory left for " + n.label)
	case "panics":
		panic("bug in a provider")
	case "dies":
		die()
	}
	return nil
}

// await waits until a file exists. It returns at once for an empty name.
func await(ctx context.Context, file string) error {
	for file != "" {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// die kills the process, so that no clean-up runs.
func die() {
	note("dies")
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (n *noted) Keep(context.Context) (string, error) {
	note("keep %s", n.label)
	return n.label + " is kept", nil
}

func (n *noted) TearDown(ctx context.Context) error {
	if n.Lingers {
		time.Sleep(time.Second)
	}
	note("tear down %s", n.label)
	return ctx.Err()
}

// limit bounds a spec and what it waits for.
const limit = time.Minute

// does chooses the specs to run, and what they do.
var does = os.Getenv("CHILD_SPECS")

var labels = strings.Fields(os.Getenv("CHILD_HOSTS"))

// hosts is nil in a suite without the adapter, for the benchmark.
var hosts = declare()

func declare() *suite.Fixtures {
	if os.Getenv("CHILD_PLAIN") != "" {
		return nil
	}
	return suite.Declare(labels...)
}

// counted is a configuration source that logs when it is read.
type counted struct{ fstest.MapFS }

func (c counted) Open(name string) (fs.File, error) {
	note("read the configuration")
	return c.MapFS.Open(name)
}

func init() {
	if hosts == nil {
		if os.Getenv("CHILD_SHARES") != "" {
			SynchronizedBeforeSuite(func() []byte { return nil }, func([]byte) {})
		} else {
			BeforeSuite(func() {})
		}
		return
	}
	if os.Getenv("CHILD_COUNTS") != "" {
		fixture.Defaults(counted{fstest.MapFS{"defaults.conf": &fstest.MapFile{}}}, "defaults.conf")
	}
	switch {
	case os.Getenv("CHILD_SHARES") != "":
		SynchronizedBeforeSuite(setUpShared, join)
	case os.Getenv("CHILD_ORPHAN") != "":
		BeforeSuite(func(ctx SpecContext) {
			runner := os.Getppid()
			note("starts with %d as %d", runner, os.Getpid())
			for os.Getppid() == runner { // until the ginkgo command is killed
				time.Sleep(time.Millisecond)
			}
			hosts.SetUp(ctx)
		})
	case does == "need", does == "need after pristine":
		BeforeSuite(hosts.SetUpOnNeed)
	case does == "need without teardown":
	case os.Getenv("CHILD_DIRECT") != "":
		BeforeSuite(hosts.SetUp)
	default:
		BeforeSuite(func(ctx SpecContext) {
			hosts.SetUp(ctx)
			if os.Getenv("CHILD_FAILS") == "BeforeSuite" {
				Fail("on purpose")
			}
		})
	}
	switch {
	case os.Getenv("CHILD_TEARS_DOWN") != "":
		AfterSuite(hosts.TearDown)
	case os.Getenv("CHILD_FAILS") == "AfterSuite":
		AfterSuite(func() { Fail("on purpose") })
	case os.Getenv("CHILD_STAYS_UNTIL") != "":
		AfterSuite(stay)
	case does == "stay":
		AfterSuite(func() { note("has run its last spec") })
	case does == "around":
		AfterSuite(noteAll)
	}
}

func noteAll() {
	for _, label := range labels {
		note("%s is at %s", label, fixture.Host(label).HostName())
	}
}

var _ = Describe("specs", func() {
	if does != "" {
		return
	}
	for n := range 6 {
		It(fmt.Sprintf("runs %d", n), func(ctx SpecContext) {
			noteAll()
			failOnPurpose(ctx, n)
		})
	}
})

// Specs with exclusive use of the first host. CHILD_SPECS chooses what they do;
// CHILD_CREATES is a file that they create.
var _ = Describe("exclusive specs", func() {
	if slices.Contains([]string{"", "deadlock", "ordered", "undeclared", "around", "before", "stay"}, does) || strings.HasPrefix(does, "need") {
		return
	}
	has, wants := os.Getenv("CHILD_LOG")+".has", os.Getenv("CHILD_LOG")+".wants"
	if does == "die" {
		BeforeEach(func(ctx SpecContext) { // process 1 continues when process 2 has the host
			if GinkgoParallelProcess() == 1 {
				Expect(await(ctx, has)).To(Succeed())
				Expect(os.WriteFile(wants, nil, 0o600)).To(Succeed())
			}
		})
	}
	BeforeEach(hosts.Exclusive(labels[0]))
	BeforeEach(hosts.Exclusive(labels[0])) // as in a nested container
	limit := limit
	if given := os.Getenv("CHILD_SPEC_TIMEOUT"); given != "" {
		limit, _ = time.ParseDuration(given)
	}
	for n := range 6 {
		It(fmt.Sprintf("runs %d", n), SpecTimeout(limit), func(ctx SpecContext) {
			note("enter %s", fixture.Host(labels[0]).HostName())
			DeferCleanup(func() { note("leave") })
			if file := os.Getenv("CHILD_CREATES"); file != "" {
				Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
			}
			switch does {
			case "fail":
				Fail("on purpose")
			case "panic":
				panic("on purpose")
			case "die":
				if GinkgoParallelProcess() == 2 {
					Expect(os.WriteFile(has, nil, 0o600)).To(Succeed())
					Expect(await(ctx, wants)).To(Succeed())
					die()
				}
			default:
				Expect(await(ctx, does)).To(Succeed())
			}
		})
	}
})
