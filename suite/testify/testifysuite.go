package testifysuite

import (
	"testing"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/stretchr/testify/suite"
)

// TestingSuite is the interface of testify's suites. A struct that embeds [Suite]
// implements it.
type TestingSuite = suite.TestingSuite

// Suite is testify's Suite with the methods Host and Pristine. Embed it in a suite.
type Suite struct{ suite.Suite }

// Host returns the host of a label. It is never nil. If the host is not set up,
// its methods panic with a message that says so, and the test fails.
func (s *Suite) Host(label string) *fixture.CloudHost { return fixture.Host(label) }

// Pristine brings hosts back to the state that they had at its first call for these
// labels, which saves it. Call it in SetupTest. The hosts of one call are saved and
// restored at one moment. A host whose state cannot be restored is set up anew. It
// fails the test at once if it cannot restore the state.
func (s *Suite) Pristine(labels ...string) {
	s.T().Helper()
	ctx := fixture.WithProgress(s.T().Context(), func(step fixture.Progress) { s.T().Log(step) })
	s.Require().NoError(host.Default.Pristine(ctx, labels, false))
}

// Run sets up the hosts of these labels and runs the tests of a suite. If a host
// cannot be set up, it fails the test with the errors of all hosts and runs no
// test of the suite.
func Run(t *testing.T, s TestingSuite, labels ...string) {
	t.Helper()
	fixture.UpAll(t, labels...)
	suite.Run(t, s)
}
