// Package child is a small suite with real hosts that the specs of package
// itest run by itself, to see what is left when it ends in the way that
// CHILD_DOES names. It tells how far it is by files in its folder, which is
// also where it finds its configuration.
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
	RegisterFailHandler(Fail)
	RunSpecs(t, "child")
}

// failing is a suite of testify's.
type failing struct{ testifysuite.Suite }

func (s *failing) SetupSuite() {
	tell("booted")
	s.T().FailNow()
}

func (s *failing) TestNothing() {}

// TestTestify is run by itself.
func TestTestify(t *testing.T) {
	if does == "FailNow in SetupSuite" {
		testifysuite.Run(t, new(failing), labels...)
	}
}

// does says what goes wrong.
var does = os.Getenv("CHILD_DOES")

var labels = strings.Fields(os.Getenv("CHILD_HOSTS"))

var hosts = suite.Declare(labels...)

// turns has a process have the static host for itself, if the suite has one, in
// each of its specs.
func turns(process int) {
	for _, label := range labels {
		if strings.HasSuffix(label, "_fixed") {
			take := hosts.Exclusive(label)
			BeforeEach(func(ctx SpecContext) {
				if GinkgoParallelProcess() == process {
					take(ctx)
					fixture.Host(label).HostName()
				}
			})
		}
	}
}

// tell leaves a file with this process's ID in it.
func tell(what string) {
	path := fmt.Sprintf("%s-%d", what, GinkgoParallelProcess())
	if err := os.WriteFile(path+".new", fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		panic(err)
	}
}

// appears waits for a file.
func appears(ctx SpecContext, file string) {
	GinkgoHelper()
	Eventually(func() error { _, err := os.Stat(file); return err }).WithContext(ctx).WithTimeout(time.Minute).Should(Succeed())
}

func init() {
	switch does {
	case "panic in BeforeSuite":
		half, rest := suite.Declare(labels[:2]...), suite.Declare(labels[2:]...)
		SynchronizedBeforeSuite(half.SetUpShared, func(ctx SpecContext, shared []byte) {
			half.Join(ctx, shared)
			tell("booted")
			if len(labels) > 2 { // always
				panic("half-way")
			}
			rest.SetUp(ctx)
		})
	default:
		SynchronizedBeforeSuite(func(ctx SpecContext) []byte {
			tell("booting")
			return hosts.SetUpShared(ctx)
		}, func(ctx SpecContext, shared []byte) {
			tell("booting")
			hosts.Join(ctx, shared)
			tell("booted")
		})
	}
	if does == "panic in AfterSuite" {
		AfterSuite(func() { panic("after the specs") })
	}
	if does == "be deaf to the end" {
		ReportAfterSuite("deaf", func(SpecContext, Report) {
			tell("reporting")
			select {}
		})
	}
}

// Each process gets one of two specs that wait for something.
var _ = Describe("specs", func() {
	if does == "take turns" {
		turns(2)
		BeforeEach(func(ctx SpecContext) {
			if GinkgoParallelProcess() == 1 {
				appears(ctx, "running-2")
			}
		})
	}
	turns(1)

	for n := range 2 {
		It(fmt.Sprintf("number %d", n), func(ctx SpecContext) {
			tell("running")
			switch does {
			case "fail":
				Fail("as it is to")
			case "panic":
				panic("as it is to")
			case "panic in a goroutine":
				go panic("where nobody recovers")
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
			case "be deaf", "be deaf to the end":
				select {}
			case "wait for a word":
				appears(ctx, "word")
			case "take turns":
				if GinkgoParallelProcess() == 2 {
					select {} // until it is killed
				}
			case "fail first":
				if n == 0 {
					appears(ctx, "word")
					Fail("before the other spec is over")
				}
				<-ctx.Done()
			}
		})
	}
})
