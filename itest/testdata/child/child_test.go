// Package child is a small suite with real hosts that specs of package itest run
// to see what it leaves behind. CHILD_DOES chooses how it ends. The suite reports
// its progress with files in its folder, which also has its configuration.
package child

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/overcast-go/overcast/suite"
	testifysuite "github.com/overcast-go/overcast/suite/testify"
)

func TestChild(t *testing.T) {
	skipUnlessStarted(t)
	RegisterFailHandler(Fail)
	RunSpecs(t, "child")
}

// skipUnlessStarted skips a test that no spec started.
func skipUnlessStarted(t *testing.T) {
	if _, isSet := os.LookupEnv("CHILD_HOSTS"); !isSet {
		t.Skip("a suite that package itest runs in the lab, with CHILD_HOSTS set")
	}
}

// failing is a testify suite whose SetupSuite fails.
type failing struct{ testifysuite.Suite }

func (s *failing) SetupSuite() {
	report("booted")
	s.T().FailNow()
}

func (s *failing) TestNothing() {}

// TestTestify runs in a process of its own.
func TestTestify(t *testing.T) {
	skipUnlessStarted(t)
	if does != "FailNow in SetupSuite" {
		t.Skip("for the specs of testify only")
	}
	testifysuite.Run(t, new(failing), labels...)
}

// does is what the suite does.
var does = os.Getenv("CHILD_DOES")

var labels = strings.Fields(os.Getenv("CHILD_HOSTS"))

var hosts = suite.Declare(labels...)

// useExclusively acquires exclusive use of the static host, if the suite has one,
// for each spec of a process.
func useExclusively(process int) {
	for _, label := range labels {
		if strings.HasSuffix(label, "_fixed") {
			acquire := hosts.Exclusive(label)
			BeforeEach(func(ctx SpecContext) {
				if GinkgoParallelProcess() == process {
					acquire(ctx)
					fixture.Host(label).HostName()
				}
			})
		}
	}
}

// report creates a file with the ID of this process.
func report(what string) {
	path := fmt.Sprintf("%s-%d", what, GinkgoParallelProcess())
	if err := os.WriteFile(path+".new", fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		panic(err)
	}
}

// awaitFile waits until a file exists.
func awaitFile(ctx SpecContext, file string) {
	GinkgoHelper()
	Eventually(func() error { _, err := os.Stat(file); return err }).WithContext(ctx).WithTimeout(time.Minute).Should(Succeed())
}

func init() {
	switch does {
	case "panic in BeforeSuite":
		half, rest := suite.Declare(labels[:2]...), suite.Declare(labels[2:]...)
		SynchronizedBeforeSuite(half.SetUpShared, func(ctx SpecContext, shared []byte) {
			half.Join(ctx, shared)
			report("booted")
			if len(labels) > 2 { // always
				panic("half-way")
			}
			rest.SetUp(ctx)
		})
	default:
		SynchronizedBeforeSuite(func(ctx SpecContext) []byte {
			report("booting")
			return hosts.SetUpShared(ctx)
		}, func(ctx SpecContext, shared []byte) {
			report("booting")
			hosts.Join(ctx, shared)
			report("booted")
		})
	}
	if does == "panic in AfterSuite" {
		AfterSuite(func() { panic("after the specs") })
	}
	if does == "ignore every SIGINT" {
		ReportAfterSuite("deaf", func(SpecContext, Report) {
			report("reporting")
			select {}
		})
	}
}

// Each process runs one of two specs.
var _ = Describe("specs", func() {
	if does == "take turns" {
		useExclusively(2)
		BeforeEach(func(ctx SpecContext) {
			if GinkgoParallelProcess() == 1 {
				awaitFile(ctx, "running-2")
			}
		})
	}
	useExclusively(1)

	for n := range 2 {
		It(fmt.Sprintf("number %d", n), func(ctx SpecContext) {
			report("running")
			switch does {
			case "fail":
				Fail("on purpose")
			case "panic":
				panic("on purpose")
			case "panic in a goroutine":
				go panic("in a goroutine")
				select {}
			case "exit":
				os.Exit(3)
			case "wait":
				<-ctx.Done()
			case "wait a second":
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			case "ignore SIGINT", "ignore every SIGINT":
				select {}
			case "wait for a message":
				awaitFile(ctx, "word")
			case "take turns":
				if GinkgoParallelProcess() == 2 {
					select {} // until it is killed
				}
			case "fail first":
				if n == 0 {
					awaitFile(ctx, "word")
					Fail("before the other spec ends")
				}
				<-ctx.Done()
			}
		})
	}
})
