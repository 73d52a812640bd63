package testifysuite

import (
	"testing"

	"github.com/overcast-go/overcast/fixture"
	"github.com/stretchr/testify/suite"
)

// TestingSuite is testify's: whatever embeds [Suite], or testify's own.
type TestingSuite = suite.TestingSuite

// Suite is to be embedded in a suite. It is testify's, and knows hosts.
type Suite struct{ suite.Suite }

// Host is the host of a label. It is never nil; if the host is not up, its
// methods panic, and the test fails with what to do about it.
func (s *Suite) Host(label string) *fixture.CloudHost { return fixture.Host(label) }

// Run runs the tests of a suite with hosts of these labels. If a host cannot be
// set up, it fails the test with all causes, and runs nothing of the suite.
func Run(t *testing.T, s TestingSuite, labels ...string) {
	t.Helper()
	fixture.UpAll(t, labels...)
	suite.Run(t, s)
}
