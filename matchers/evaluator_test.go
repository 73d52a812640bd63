package matchers_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gcustom"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	. "github.com/overcast-go/overcast/matchers"
)

// shortly is long enough for a second attempt.
const shortly = 20 * time.Millisecond

// every has each matcher, the method that it needs, and whether it asks for
// reachability itself.
var every = map[string]struct {
	make         func() matcher
	method       string
	reachability bool
}{
	"BeReachableOnSSH":  {func() matcher { return BeReachableOnSSH() }, "Run(", true},
	"BeReachableOn":     {func() matcher { return BeReachableOn(9) }, "DialContext(", true},
	"RespondToHTTP":     {func() matcher { return RespondToHTTP(9, "/") }, "DialContext(", true},
	"HaveMounted":       {func() matcher { return HaveMounted("/data") }, "Run(", false},
	"HaveFile":          {func() matcher { return HaveFile("/data") }, "Run(", false},
	"HaveProcess":       {func() matcher { return HaveProcess("nginx") }, "Run(", false},
	"HaveListeningPort": {func() matcher { return HaveListeningPort(80) }, "Run(", false},
	"HaveService":       {func() matcher { return HaveService("nginx") }, "Run(", false},
	"RunCommand":        {func() matcher { return RunCommand("ls") }, "Run(", false},
	"HaveAddressIn":     {func() matcher { return HaveAddressIn("10.0.0.0/8") }, "HostName()", true},
	"BeCloneOf":         {func() matcher { return BeCloneOf("base") }, "BaseDomain()", true},
}

func TestAWrongActualIsAnErrorThatShowsTheObject(t *testing.T) {
	for name, one := range every {
		for what, wrong := range map[string]struct {
			actual any
			shown  string
		}{
			"nil":                 {nil, "<nil>: nil"},
			"typed nil":           {(*fixture.CloudHost)(nil), "<*fixture.CloudHost | 0x0>: nil"},
			"a label":             {"web", "<string>: web"},
			"a number":            {[]int{7}, "<[]int | len:1, cap:1>: [7]"},
			"typed nil of a host": {func() any { var c *counted; return c }(), "<*matchers_test.counted | 0x0>: nil"},
		} {
			t.Run(name+" of "+what, func(t *testing.T) {
				m := one.make()
				_, err := m.Match(wrong.actual)
				require.Error(t, err)
				assert.Regexp(t, "^"+name+` matcher expects a \*fixture.CloudHost or a value with the method `, err.Error())
				assert.Contains(t, err.Error(), "the method "+one.method)
				assert.Contains(t, err.Error(), ". Got:\n    "+wrong.shown)
				assert.NotEmpty(t, failureOf(func(g Gomega) { g.Expect(wrong.actual).NotTo(m) }))
				assert.Contains(t, failureOf(func(g Gomega) { g.Eventually(wrong.actual).WithTimeout(testLimit).Should(m) }), "No future change is possible")
			})
		}
	}
}

func TestAHostThatIsNotSetUpIsAnError(t *testing.T) {
	for name, one := range every {
		for _, host := range []*fixture.CloudHost{fixture.Host("never"), new(fixture.CloudHost)} {
			t.Run(name+" of "+host.String(), func(t *testing.T) {
				m := one.make()
				_, err := m.Match(host)
				require.ErrorIs(t, err, fixture.ErrNotSetUp)
				assert.Contains(t, err.Error(), "cannot check\n    "+host.String()+"\nto ")
				assert.Contains(t, err.Error(), "is not set up in this process: declare it with suite.Declare(")
				for _, failure := range []string{
					failureOf(func(g Gomega) { g.Expect(host).NotTo(m) }),
					failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(shortly).Should(m) }),
					failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(shortly).ShouldNot(m) }),
				} {
					assert.Contains(t, failure, "cannot check\n")
					assert.NotContains(t, failure, "notSetUp", "Gomega printed the fields of the error")
				}
			})
		}
	}
}

func TestAnUnreachableHostFailsToAndNotTo(t *testing.T) {
	for name, one := range every {
		t.Run(name, func(t *testing.T) {
			host, server := serve(t, sshtest.Config{})
			server.Close()
			m := one.make()
			negated := failureOf(func(g Gomega) { g.Expect(host).NotTo(m) })
			assert.NotEmpty(t, failureOf(func(g Gomega) { g.Expect(host).To(m) }))
			if one.reachability {
				assert.Empty(t, negated)
				return
			}
			assert.Contains(t, negated, "cannot check\n    "+host.String()+", as tester\n")
			assert.Regexp(t, "\nlast error: .*(connection refused|connection lost|packet).*\nattempts: 1$", negated)
			for _, wrapped := range []func(g Gomega){
				func(g Gomega) { g.Expect(host).To(Not(one.make())) },
				func(g Gomega) { g.Expect(host).To(And(Not(one.make()), Not(BeNil()))) },
				func(g Gomega) { g.Expect([]any{host}).NotTo(ContainElement(one.make())) },
				func(g Gomega) { g.Expect(host).To(Or(Not(one.make()), BeNil())) },
				func(g Gomega) { g.Consistently(host).WithTimeout(testPace).ShouldNot(one.make()) },
				func(g Gomega) { g.Eventually(host).WithTimeout(testPace).ShouldNot(one.make()) },
			} {
				assert.NotEmpty(t, failureOf(wrapped))
			}
		})
	}
}

// counted is a host whose Run is a function of the test. It counts the calls.
type counted struct {
	runs atomic.Int64
	run  func(ctx context.Context, n int64) (fixture.Result, error)
}

func (c *counted) Run(ctx context.Context, _ string) (fixture.Result, error) {
	return c.run(ctx, c.runs.Add(1))
}

func TestEventuallyContinuesAfterErrorsAndCountsAttempts(t *testing.T) {
	host := &counted{run: func(_ context.Context, n int64) (fixture.Result, error) {
		switch {
		case n < 3:
			return fixture.Result{}, errors.New("not yet")
		case n < 5:
			return fixture.Result{Stdout: "proc /proc proc rw 0 0\n"}, nil
		}
		return fixture.Result{Stdout: mountTable}, nil
	}}
	m := HaveMounted("/data")
	assert.Empty(t, failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).Should(m) }))
	assert.EqualValues(t, 5, host.runs.Load())
	assert.True(t, strings.HasSuffix(m.NegatedFailureMessage(host), "\nattempts: 5"))
	assert.Empty(t, failureOf(func(g Gomega) {
		g.Eventually(t.Context(), host).WithTimeout(testLimit).Should(And(HaveMounted("/data"), Not(HaveMounted("/mnt"))))
		g.Consistently(host).WithTimeout(testPace).Should(HaveMounted("/data"))
		g.Consistently(host).WithTimeout(testPace).ShouldNot(HaveMounted("/mnt"))
		g.Expect([]any{host, gone{}}).To(ContainElement(HaveMounted("/data")))
		g.Expect(map[string]any{"a": host}).To(HaveEach(HaveMounted("/data")))
		g.Expect(struct{ Host any }{host}).To(HaveField("Host", HaveMounted("/data")))
		g.Eventually(func() any { return host }).Should(HaveMounted("/data"))
	}))
}

func TestEventuallyShowsTheTextOfTheLastError(t *testing.T) {
	failure := failureOf(func(g Gomega) { g.Eventually(gone{}).WithTimeout(testPace).Should(RunCommand("ls")) })
	assert.Regexp(t, `^Timed out after \d+\.\d+s\.
cannot check
    matchers_test\.gone
to run a command successfully
tried: ls
last error: running "ls": no route to host
attempts: \d+
$`, failure)
}

func TestEventuallyOfAFunctionCountsAttemptsPerHost(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: mountTable})
	m := HaveMounted("/none")
	for range 3 {
		_, err := m.Match(fixture.Host(host.Label()))
		require.NoError(t, err)
	}
	assert.True(t, strings.HasSuffix(m.FailureMessage(host), "\nattempts: 3"))
}

func TestMessagesAreThoseOfTheHostAskedFor(t *testing.T) {
	one, other := answers(t, fixture.Result{Stdout: mountTable}), answers(t, fixture.Result{Stdout: "proc /proc proc rw 0 0\n"})
	m := HaveMounted("/none")
	for _, host := range []*fixture.CloudHost{one, other} {
		_, err := m.Match(host)
		require.NoError(t, err)
	}
	assert.Contains(t, m.FailureMessage(one), one.String())
	assert.Contains(t, m.FailureMessage(other), other.String())
}

func TestAnAttemptEndsWithItsTimeLimit(t *testing.T) {
	release := make(chan struct{})
	host := &counted{run: func(context.Context, int64) (fixture.Result, error) {
		<-release // ignores the context
		return fixture.Result{Stdout: mountTable}, nil
	}}
	m := HaveMounted("/data").Within(testPace)
	_, err := m.Match(host)
	require.ErrorContains(t, err, "last error: no answer within 100ms\n")
	_, err = m.Match(host)
	require.ErrorContains(t, err, "last error: no answer within 100ms: the previous attempt is still running\nattempts: 2")
	assert.EqualValues(t, 1, host.runs.Load(), "attempts do not accumulate")
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			_, err := m.Match(host)
			assert.Error(t, err)
		})
	}
	others.Wait()
	assert.EqualValues(t, 1, host.runs.Load(), "nor do those that wait at the same time")
	close(release)
	m.Within(testLimit)
	ok, err := m.Match(host)
	require.NoError(t, err)
	assert.True(t, ok)
}

func TestAnAttemptOnAHalfOpenConnectionEnds(t *testing.T) {
	host, server := serve(t, sshtest.Config{})
	server.Freeze()
	_, err := HaveMounted("/data").Within(testPace).Match(host)
	require.ErrorContains(t, err, "no answer within 100ms")
	ok, err := BeReachableOnSSH().Within(testPace).Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
}

func TestAHostTornDownDuringEventuallyIsAnError(t *testing.T) {
	host, server := serve(t, sshtest.Config{})
	var once sync.Once
	failure := failureOf(func(g Gomega) {
		g.Eventually(func() *fixture.CloudHost {
			if len(server.Commands()) > 2 {
				once.Do(func() { assert.NoError(t, fixture.TearDown(context.Background(), host.Label())) })
			}
			return host
		}).WithTimeout(testLimit).Should(HaveMounted("/none"))
	})
	assert.Contains(t, failure, "cannot check\n    "+host.Label()+" (not set up)\n")
	assert.Contains(t, failure, "is not set up in this process")
}

func TestAHostThatHasEndedStopsEventually(t *testing.T) {
	crashed := fmt.Errorf("%w: the domain has crashed", fixture.ErrHostStopped)
	for name, one := range every {
		t.Run(name, func(t *testing.T) {
			host := setUp(t, "doomed", `doomed { mortal = "127.0.0.1", of = base }`)
			mortality.report(crashed)
			m := one.make()
			failure := failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).Should(m) })
			assert.Contains(t, failure, "the host does not run: host has stopped: the domain has crashed\n")
			assert.Regexp(t, "^(Told to stop trying|No future change is possible)", failure)
		})
	}
}

func TestEventuallyGoesOnWhileAHostIsPaused(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{Exec: answering(fixture.Result{Stdout: mountTable})})
	host := setUp(t, "mortal", fmt.Sprintf(`mortal { mortal = "127.0.0.1", connection.url = %q }`, server.URL("hostKey=insecure")))
	paused := fmt.Errorf("%w: by an administrator", fixture.ErrHostPaused)
	stopped := fmt.Errorf("%w: the guest powered itself off", fixture.ErrHostStopped)
	for name, m := range map[string]matcher{
		"an answer that needs a running host": HaveMounted("/data"),
		"a host that is not reachable":        BeReachableOnSSH(),
	} {
		t.Run(name, func(t *testing.T) {
			mortality.report(paused)
			failure := failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testPace).Should(m) })
			assert.Regexp(t, `^Timed out after`, failure)
			assert.Regexp(t, `last error: (running .*: )?host is paused: by an administrator\nattempts: \d+`, failure)

			attempts := 0
			assert.Empty(t, failureOf(func(g Gomega) {
				g.Eventually(func() *fixture.CloudHost {
					if attempts++; attempts == 3 {
						mortality.report(nil)
					}
					return host
				}).WithTimeout(testLimit).Should(m)
			}))
			assert.Equal(t, 3, attempts)

			mortality.report(stopped)
			failure = failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).Should(m) })
			assert.Regexp(t, `^(Told to stop trying|No future change is possible)`, failure)
			assert.Equal(t, 1, strings.Count(failure, "the guest powered itself off"))
		})
	}
}

// falling is a host that ends during an attempt.
type falling struct {
	counted
	ended atomic.Pointer[error]
}

func (f *falling) Exited() error {
	if err := f.ended.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *falling) DialContext(context.Context, string, string) (net.Conn, error) {
	crashed := errors.New("the domain has crashed")
	f.ended.Store(&crashed)
	return nil, errors.New("no route to host")
}

func TestAHostThatEndsDuringAnAttemptStopsEventually(t *testing.T) {
	host := &falling{}
	failure := failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).Should(BeReachableOn(80)) })
	assert.Contains(t, failure, "No future change is possible")
	assert.Contains(t, failure, "to be reachable on port 80")
	assert.Contains(t, failure, "the host does not run: the domain has crashed")
	assert.Empty(t, failureOf(func(g Gomega) { g.Eventually(&falling{}).WithTimeout(testLimit).ShouldNot(BeReachableOn(80)) }))

	host = &falling{}
	host.run = func(ctx context.Context, _ int64) (fixture.Result, error) {
		_, err := host.DialContext(ctx, "", "")
		return fixture.Result{}, err
	}
	failure = failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).ShouldNot(HaveMounted("/data")) })
	assert.Regexp(t, `^Told to stop trying after`, failure)
	assert.Contains(t, failure, "last error: no route to host; the host does not run: the domain has crashed\nattempts: 1")
}

func TestAHostThatStopsDuringAnAttemptSaysSoOnce(t *testing.T) {
	host := &falling{}
	host.run = func(ctx context.Context, _ int64) (fixture.Result, error) {
		_, _ = host.DialContext(ctx, "", "")
		return fixture.Result{}, fmt.Errorf("running it: %w", host.Exited())
	}
	failure := failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).Should(HaveMounted("/data")) })
	assert.Regexp(t, `^Told to stop trying after`, failure)
	assert.Contains(t, failure, "last error: running it: the domain has crashed\nattempts: 1")
}

func TestAPanicOfAHostsMethodReachesTheCaller(t *testing.T) {
	host := &counted{run: func(context.Context, int64) (fixture.Result, error) { panic("bug in the host") }}
	assert.PanicsWithValue(t, "bug in the host", func() { _, _ = RunCommand("ls").Match(host) })
}

func TestAHostsMethodThatCallsGoexitIsAnError(t *testing.T) {
	host := &counted{run: func(context.Context, int64) (fixture.Result, error) { runtime.Goexit(); return fixture.Result{}, nil }}
	_, err := RunCommand("ls").Match(host)
	require.ErrorContains(t, err, "the host's method ended its goroutine (runtime.Goexit or FailNow)")
}

func TestAGivenMatcherMayStopEventually(t *testing.T) {
	host := &counted{run: func(context.Context, int64) (fixture.Result, error) { return fixture.Result{Stdout: "fatal\n"}, nil }}
	never := gcustom.MakeMatcher(func(string) (bool, error) { return false, StopTrying("it never starts") })
	failure := failureOf(func(g Gomega) {
		g.Eventually(host).WithTimeout(testLimit).Should(RunCommand("state").WithStdout(never))
	})
	assert.Regexp(t, `^Told to stop trying after`, failure)
	assert.Contains(t, failure, "it never starts")
}

func TestMessagesCanBeReadDuringAnAttempt(t *testing.T) {
	host := &counted{run: func(context.Context, int64) (fixture.Result, error) { return fixture.Result{Stdout: mountTable}, nil }}
	m := HaveMounted("/none")
	assert.Equal(t, "no attempt was made", m.FailureMessage(host))
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 100 {
				m.FailureMessage(host)
				m.NegatedFailureMessage(host)
				m.MatchMayChangeInTheFuture(host)
			}
		})
	}
	for range 100 {
		_, err := m.Match(host)
		require.NoError(t, err)
	}
	asking.Wait()
}

func TestAndShowsWhatEachMatcherWants(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: mountTable})
	assert.Contains(t, failureOf(func(g Gomega) { g.Expect(host).NotTo(And(HaveMounted("/data"), BeReachableOnSSH())) }),
		"[to have /data mounted to be reachable by SSH]")
}

// closedHost is a host that reports that no login is configured.
type closedHost struct{ gone }

func (closedHost) User() (string, error) { return "", fixture.ErrNoLogin }

func TestBeReachableOnSSHNeedsADialerIfNoLoginIsConfigured(t *testing.T) {
	_, err := BeReachableOnSSH().Match(closedHost{})
	require.ErrorContains(t, err, "a value with the method DialContext(")
}

// unreachableGuest is a host whose hypervisor cannot be reached.
type unreachableGuest struct{}

func (unreachableGuest) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, fmt.Errorf("logging in: %w", fixture.ErrHypervisorNotReachable)
}

func TestAnUnreachableHypervisorIsAnError(t *testing.T) {
	for _, m := range []matcher{BeReachableOn(80), RespondToHTTP(80, "/"), BeReachableOnSSH()} {
		_, err := m.Match(unreachableGuest{})
		require.ErrorIs(t, err, fixture.ErrHypervisorNotReachable)
		assert.NotEmpty(t, failureOf(func(g Gomega) { g.Expect(unreachableGuest{}).NotTo(m) }))
	}
}

// forwarded is a host that is reached through a port forward.
type forwarded struct{ at }

func (forwarded) Address() string { return "192.168.122.17" }

func TestHaveAddressInPrefersAddressToHostName(t *testing.T) {
	passes(t, HaveAddressIn("192.168.122.0/24"), forwarded{"127.0.0.1"}, `Expected
    matchers_test.forwarded (192.168.122.17)
not to have an address in 192.168.122.0/24
tried: address of the host
found: [192.168.122.17]
attempts: 1`)
}
