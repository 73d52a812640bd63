package strategy_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/overcast-go/overcast/strategy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var mac = net.HardwareAddr{0x52, 0x54, 0, 1, 2, 3}

// script returns its answers one after the other, and then the last one again. onAsk is
// called with the number of calls.
type script struct {
	answers [][]netip.Addr
	err     error
	asked   int
	onAsk   func(asked int)
}

func (s *script) String() string { return "network test" }

func (s *script) Addresses(context.Context, net.HardwareAddr) ([]netip.Addr, error) {
	s.asked++
	if s.onAsk != nil {
		s.onAsk(s.asked)
	}
	if s.err != nil {
		return nil, s.err
	}
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return answer, nil
}

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestStaticAnswersAtOnce(t *testing.T) {
	got, err := strategy.Static{IP: netip.MustParseAddr("10.1.2.3")}.Address(t.Context(), mac)
	require.NoError(t, err)
	assert.Equal(t, "10.1.2.3", got.String())
}

func TestLeaseWaitsForTheLease(t *testing.T) {
	source := &script{answers: [][]netip.Addr{nil, nil, addrs("10.0.0.9")}}
	got, err := strategy.Lease{Source: source}.Address(t.Context(), mac)
	require.NoError(t, err)
	assert.Equal(t, "10.0.0.9", got.String())
	assert.Equal(t, 3, source.asked)
}

func TestLeasePrefersIPv4(t *testing.T) {
	for name, test := range map[string]struct {
		leased []netip.Addr
		want   string
	}{
		"IPv6 first": {addrs("fd00::5", "10.0.0.9"), "10.0.0.9"},
		"only IPv6":  {addrs("fd00::5"), "fd00::5"},
		"mapped":     {addrs("::ffff:10.0.0.9"), "10.0.0.9"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := strategy.Lease{Source: &script{answers: [][]netip.Addr{test.leased}}}.Address(t.Context(), mac)
			require.NoError(t, err)
			assert.Equal(t, test.want, got.String())
		})
	}
}

func TestLeaseSaysWhyItEnded(t *testing.T) {
	crashed := errors.New("the domain has crashed")
	ctx, cancel := context.WithCancelCause(t.Context())
	source := &script{answers: [][]netip.Addr{nil}, onAsk: func(asked int) {
		if asked == 2 {
			cancel(crashed)
		}
	}}
	_, err := strategy.Lease{Source: source}.Address(ctx, mac)
	require.ErrorIs(t, err, strategy.ErrNotFound)
	require.ErrorIs(t, err, crashed)
	var missing *strategy.NotFoundError
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, 2, missing.Attempts)
	assert.Equal(t, mac, missing.MAC)
	assert.Contains(t, err.Error(), "52:54:00:01:02:03")
	assert.Contains(t, err.Error(), "network test knows no lease for it")
}

func TestLeaseGivesUpOnAnErrorOfTheSource(t *testing.T) {
	broken := errors.New("network is not active")
	_, err := strategy.Lease{Source: &script{err: broken}}.Address(t.Context(), mac)
	require.ErrorIs(t, err, broken)
	assert.Contains(t, err.Error(), "after 1 attempts")
}
