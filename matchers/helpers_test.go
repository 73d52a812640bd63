package matchers_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/provider"
)

var labels atomic.Int64

// serve starts a real SSH server and sets up a host that it answers for.
func serve(t testing.TB, config sshtest.Config) (*fixture.CloudHost, *sshtest.Server) {
	t.Helper()
	server := sshtest.Start(t, config)
	label := fmt.Sprintf("web%d", labels.Add(1))
	return setUp(t, label, fmt.Sprintf(`%s { hostname = "127.0.0.1", connection.url = %q }`, label, server.URL())), server
}

// setUp sets up a host with a section of the configuration.
func setUp(t testing.TB, label, section string) *fixture.CloudHost {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv("OVERCAST_CONF", "")
	t.Setenv("OVERCAST_SET", section)
	host, err := fixture.SetUp(context.Background(), label)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, fixture.TearDown(context.Background(), label)) })
	return host
}

// answers sets up a host whose commands all have this result.
func answers(t testing.TB, result fixture.Result) *fixture.CloudHost {
	t.Helper()
	host, _ := serve(t, sshtest.Config{Exec: answering(result)})
	return host
}

func answering(result fixture.Result) func(context.Context, string, sshtest.Session) int {
	return func(_ context.Context, cmd string, s sshtest.Session) int {
		if cmd == "true" {
			return 0
		}
		io.WriteString(s.Stdout, result.Stdout)
		io.WriteString(s.Stderr, result.Stderr)
		return result.ExitCode
	}
}

// matcher is the interface of all matchers of the package.
type matcher interface {
	gomega.OmegaMatcher
	MatchMayChangeInTheFuture(actual any) bool
}

// text formats an expected message with the name of the host.
func text(host fmt.Stringer, format string) string { return fmt.Sprintf(format, host) }

// passes requires a match with this negated message.
func passes(t *testing.T, m matcher, host any, negated string) {
	t.Helper()
	ok, err := m.Match(host)
	require.NoError(t, err)
	require.True(t, ok, m.FailureMessage(host))
	assert.Equal(t, negated, m.NegatedFailureMessage(host))
}

// fails requires a failed match with this message.
func fails(t *testing.T, m matcher, host any, message string) {
	t.Helper()
	ok, err := m.Match(host)
	require.NoError(t, err)
	require.False(t, ok)
	assert.Equal(t, message, m.FailureMessage(host))
}

// unknown requires an error with this message, which fails To and NotTo.
func unknown(t *testing.T, m matcher, host any, message string) {
	t.Helper()
	ok, err := m.Match(host)
	require.Error(t, err)
	assert.False(t, ok)
	assert.Equal(t, message, err.Error())
	for _, assertion := range []func(g gomega.Gomega){
		func(g gomega.Gomega) { g.Expect(host).To(m) },
		func(g gomega.Gomega) { g.Expect(host).NotTo(m) },
	} {
		assert.NotEmpty(t, failureOf(assertion))
	}
}

// failureOf returns the message of a failed assertion, or "".
func failureOf(assertion func(g gomega.Gomega)) (failure string) {
	assertion(gomega.NewGomega(func(message string, _ ...int) { failure = message }))
	return failure
}

// mortal is a host whose outages a test reports.
type mortal struct {
	provider.Settings
	Mortal string `hocon:"mortal"`
	Of     string `hocon:"of"`

	outage *atomic.Pointer[error]
}

func (m *mortal) SetUp(context.Context) error    { return nil }
func (m *mortal) TearDown(context.Context) error { return nil }
func (m *mortal) Address() string                { return m.Mortal }
func (m *mortal) BaseDomain() string             { return m.Of }
func (m *mortal) Outage() (<-chan struct{}, error) {
	if err := m.outage.Load(); err != nil {
		return nil, *err
	}
	return nil, nil
}

type mortals struct{ outage atomic.Pointer[error] }

var mortality = &mortals{}

func (*mortals) Keys() []string { return []string{"mortal"} }

func (p *mortals) Instance(_ string, section *hocon.Value) (provider.Instance, error) {
	m := &mortal{Settings: provider.DefaultSettings(), outage: &p.outage}
	p.outage.Store(nil)
	return m, section.Decode(m)
}

func init() { provider.Register("mortal", mortality) }

// report reports the outage of the mortal host that was set up last; nil means that
// it runs.
func (p *mortals) report(outage error) { p.outage.Store(&outage) }

// testLimit bounds the wait for something that happens at once.
const testLimit = 20 * time.Second

func TestMain(m *testing.M) {
	os.Exit(withExampleHost(m.Run))
}

// testPace is a short time limit of an attempt.
const testPace = 100 * time.Millisecond

// noLoginShell is the shell of an account that must not log in.
func noLoginShell(_ context.Context, cmd string, s sshtest.Session) int {
	io.WriteString(s.Stdout, "This account is not available.\n")
	return 1
}

// gone is a host that cannot be reached.
type gone struct{}

func (gone) Run(_ context.Context, cmd string) (fixture.Result, error) {
	return fixture.Result{}, fmt.Errorf("running %q: no route to host", cmd)
}
