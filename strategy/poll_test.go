package strategy_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overcast-go/overcast/strategy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// later knows an address from a moment on; each answer takes its time.
type later struct {
	from  time.Time
	takes time.Duration
	addr  netip.Addr
}

func (l later) Addresses(context.Context, net.HardwareAddr) ([]netip.Addr, error) {
	known := !time.Now().Before(l.from)
	time.Sleep(l.takes)
	if known {
		return []netip.Addr{l.addr}, nil
	}
	return nil, nil
}

func TestAnAddressIsNoticedWithin300Milliseconds(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 999 * time.Millisecond, 10 * time.Second, 10*time.Second + 77*time.Millisecond, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			source := later{from: time.Now().Add(after), takes: 50 * time.Millisecond, addr: netip.MustParseAddr("10.0.0.9")}
			_, err := strategy.Lease{Source: source}.Address(t.Context(), mac)
			require.NoError(t, err)
			assert.LessOrEqual(t, time.Since(source.from), 300*time.Millisecond, "given after %v", after)
		})
	}
}

func TestTheBestAddress(t *testing.T) {
	answers := func(at ...string) strategy.Reach {
		return func(_ context.Context, a netip.Addr) bool {
			for _, one := range at {
				if a == netip.MustParseAddr(one) {
					return true
				}
			}
			return false
		}
	}
	for name, test := range map[string]struct {
		known []netip.Addr
		reach strategy.Reach
		want  string
	}{
		"none":                             {want: "invalid IP"},
		"none of use to others":            {known: addrs("127.0.0.1", "::1", "fe80::1", "169.254.1.1", "0.0.0.0", "ff02::1"), want: "invalid IP"},
		"IPv4 before IPv6":                 {known: addrs("fd00::5", "10.0.0.9"), want: "10.0.0.9"},
		"IPv6 where there is no other":     {known: addrs("fe80::1", "fd00::5"), want: "fd00::5"},
		"the lower one":                    {known: addrs("10.0.0.10", "10.0.0.9"), want: "10.0.0.9"},
		"the one that can be reached":      {known: addrs("10.0.0.9", "10.1.0.9", "fd00::5"), reach: answers("10.1.0.9"), want: "10.1.0.9"},
		"IPv6 if only that can be reached": {known: addrs("10.0.0.9", "fd00::5"), reach: answers("fd00::5"), want: "fd00::5"},
		"the first that can be reached":    {known: addrs("10.0.0.9", "10.1.0.9", "10.2.0.9"), reach: answers("10.2.0.9", "10.1.0.9"), want: "10.1.0.9"},
		"none can be reached":              {known: addrs("fd00::5", "10.0.0.9"), reach: answers("10.7.7.7"), want: "10.0.0.9"},
		"one, which is not asked":          {known: addrs("10.0.0.9", "10.0.0.9"), reach: func(context.Context, netip.Addr) bool { panic("asked") }, want: "10.0.0.9"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := strategy.Best(t.Context(), test.known, test.reach)
			assert.Equal(t, test.want, got.String())
		})
	}
}

func TestASourceThatCannotAnswerYetIsAskedAgain(t *testing.T) {
	stopped := errors.New("the domain has crashed")
	ctx, cancel := context.WithCancelCause(t.Context())
	source := &script{err: strategy.NotYet("the guest agent is not there"), onAsk: func(asked int) {
		if asked == 3 {
			cancel(stopped)
		}
	}}
	_, err := strategy.Agent{Source: source}.Address(ctx, mac)
	require.ErrorIs(t, err, stopped)
	require.NotErrorIs(t, err, strategy.ErrNotYet)
	assert.Contains(t, err.Error(), "by strategy agent after 3 attempts")
	assert.Contains(t, err.Error(), "the guest agent is not there")
}

func TestAutoTakesTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		auto := strategy.Auto{Strategies: []strategy.Strategy{
			strategy.Lease{Source: later{from: start.Add(time.Hour)}},
			strategy.ARP{Source: &script{err: errors.New("no neighbours here")}},
			strategy.Agent{Source: later{from: start.Add(time.Minute), addr: netip.MustParseAddr("10.0.0.9")}},
		}}
		got, err := auto.Address(t.Context(), mac)
		require.NoError(t, err)
		assert.Equal(t, "10.0.0.9", got.String())
		assert.Less(t, time.Since(start), 2*time.Minute)
	})
}

func TestAutoTellsWhatEachHasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := errors.New("addressTimeout of 1m0s expired")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, over)
		defer cancel()
		_, err := strategy.Auto{Strategies: []strategy.Strategy{
			strategy.Lease{Source: &script{answers: [][]netip.Addr{nil}}},
			strategy.Agent{Source: &script{err: strategy.NotYet("the guest agent is not there")}},
			strategy.ARP{Source: &script{err: errors.New("no neighbours here")}},
		}}.Address(ctx, mac)
		require.ErrorIs(t, err, strategy.ErrNotFound)
		require.ErrorIs(t, err, over)
		assert.Contains(t, err.Error(), "by strategy auto")
		assert.Contains(t, err.Error(), "lease: no DHCP request seen from 52:54:00:01:02:03")
		assert.Contains(t, err.Error(), "agent: the guest agent is not there")
		assert.Contains(t, err.Error(), "arp: asking network test failed: no neighbours here")
	})
}

func TestAutoEndsWithAFinalError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		final := fmt.Errorf("two machines have it: %w", strategy.ErrFinal)
		_, err := strategy.Auto{Strategies: []strategy.Strategy{
			strategy.Agent{Source: later{from: start.Add(time.Hour), addr: netip.MustParseAddr("10.0.0.9")}},
			strategy.Lease{Source: &script{err: final}},
		}}.Address(t.Context(), mac)
		require.ErrorIs(t, err, final)
		assert.Less(t, time.Since(start), time.Second)
	})
}

func TestAutoGivesUpWhenAllHave(t *testing.T) {
	gone := errors.New("network is gone")
	_, err := strategy.Auto{Strategies: []strategy.Strategy{strategy.Lease{Source: &script{err: gone}}}}.Address(t.Context(), mac)
	require.ErrorIs(t, err, gone)
	_, err = strategy.Auto{}.Address(t.Context(), mac)
	require.ErrorIs(t, err, strategy.ErrNotFound)
	assert.Contains(t, err.Error(), "there is no strategy that could work")
}

// slow gives up with its context, as a call does that is not waited for.
type slow struct{ before *script }

func (s slow) Addresses(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	if s.before.asked < 2 {
		return s.before.Addresses(ctx, mac)
	}
	<-ctx.Done()
	return nil, errors.New("no answer")
}

func TestAnAnswerThatIsNoLongerWaitedForHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		source := slow{&script{err: strategy.NotYet("the guest agent is not there")}}
		_, err := strategy.Agent{Source: source}.Address(ctx, mac)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Contains(t, err.Error(), "the guest agent is not there")
		assert.NotContains(t, err.Error(), "no answer")
	})
}

func TestAutoSurvivesAStrategyThatPanics(t *testing.T) {
	mistaken := strategy.Lease{Source: &script{onAsk: func(int) { panic("a mistake") }}}
	want := addrs("10.0.0.9")
	got, err := strategy.Auto{Strategies: []strategy.Strategy{mistaken, strategy.Lease{Source: &script{answers: [][]netip.Addr{want}}}}}.Address(t.Context(), mac)
	require.NoError(t, err)
	assert.Equal(t, want[0], got)
	_, err = strategy.Auto{Strategies: []strategy.Strategy{mistaken}}.Address(t.Context(), mac)
	assert.ErrorContains(t, err, "panic: a mistake\n")
}
