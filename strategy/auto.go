package strategy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
)

// Auto runs strategies in parallel and returns the first result.
type Auto struct {
	// Strategies run at the same time.
	Strategies []Strategy
}

var _ Strategy = Auto{}

// Address returns the first result of any strategy. It fails at once when a
// strategy fails with an [ErrFinal], and otherwise when all have failed: the error
// then has the last result of each.
func (a Auto) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	start := time.Now()
	type answer struct {
		addr netip.Addr
		err  error
	}
	var all sync.WaitGroup
	defer all.Wait() // soon after the race is decided: strategies heed their context
	racing, decided := context.WithCancelCause(ctx)
	defer decided(errors.New("another strategy was faster"))
	answers := make(chan answer, len(a.Strategies)) // buffered, so that no sender blocks
	for _, s := range a.Strategies {
		all.Go(func() {
			var got answer
			got.err = recovered.Do(func() (err error) {
				got.addr, err = s.Address(racing, mac)
				return err
			})
			answers <- got
		})
	}
	missing := &NotFoundError{Strategy: "auto", MAC: mac, Seen: "there is no strategy that could work"}
	var seen []string
	var causes []error
	for range a.Strategies {
		got := <-answers
		if got.err == nil {
			return got.addr, nil
		}
		if errors.Is(got.err, ErrFinal) {
			return netip.Addr{}, got.err
		}
		var one *NotFoundError
		if errors.As(got.err, &one) {
			missing.Attempts += one.Attempts
			seen = append(seen, one.Strategy+": "+one.Seen)
			if one.Cause != nil && one.Cause != context.Cause(racing) {
				seen[len(seen)-1] += ": " + one.Cause.Error() // it gave up by itself
			}
		} else {
			seen = append(seen, got.err.Error())
		}
		causes = append(causes, got.err)
	}
	if len(seen) > 0 {
		missing.Seen = strings.Join(seen, "; ")
	}
	missing.Waited = time.Since(start)
	switch {
	case ctx.Err() != nil:
		missing.Cause = context.Cause(ctx)
	case len(causes) > 0:
		missing.Cause = &gaveUpError{causes}
	default:
		missing.Cause = errors.New("nothing to wait for")
	}
	return netip.Addr{}, missing
}

// gaveUpError has the errors of strategies, which were reported before.
type gaveUpError struct{ causes []error }

func (e *gaveUpError) Error() string   { return "all of them have given up" }
func (e *gaveUpError) Unwrap() []error { return e.causes }

// String names the strategies.
func (a Auto) String() string {
	names := make([]string, len(a.Strategies))
	for i, s := range a.Strategies {
		names[i] = fmt.Sprint(s)
	}
	return "auto: " + strings.Join(names, ", ")
}
