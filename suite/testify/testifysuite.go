package testifysuite

import (
	"testing"

	"github.com/overcast-go/overcast/fixture"
	"github.com/stretchr/testify/suite"
)

// TestingSuite is the interface of testify's suites. A struct that embeds [Suite]
// implements it.
type TestingSuite = suite.TestingSuite

// Suite is testify's Suite with the method Host. Embed it in a suite.
type Suite struct{ suite.Suite }

// Host returns the host of a label. It is never nil. If the host is not set up,
// its methods panic with a message that says so, and the test fails.
func (s *Suite) Host(label string) *fixture.CloudHost { return fixture.Host(label) }

// Run sets up the hosts of these labels and runs the tests of a suite. If a host
// cannot be set up, it fails the test with the errors of all hosts and runs no
// test of the suite.
func Run(t *testing.T, s TestingSuite, labels ...string) {
	t.Helper()
	fixture.UpAll(t, labels...)
	suite.Run(t, s)
}
