package strategy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Source returns the addresses of network interfaces, such as the leases of a DHCP server.
type Source interface {
	// Addresses returns the current addresses of an interface, or none. After an
	// [ErrNotYet], which says why there is none, the source is polled again; any other
	// error is final.
	Addresses(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error)
}

// ErrNotYet is the error of a source that has no address yet.
var ErrNotYet = errors.New("not yet")

// ErrFinal is an error of a source that makes every other strategy useless, too,
// such as an address that two machines have. It ends all strategies of [Auto].
var ErrFinal = errors.New("no strategy can find the address")

// notYetError is an ErrNotYet with a message of its own.
type notYetError struct{ text string }

func (e *notYetError) Error() string        { return e.text }
func (e *notYetError) Is(target error) bool { return target == ErrNotYet }

// NotYet returns an [ErrNotYet] whose message says what is missing.
func NotYet(format string, args ...any) error { return &notYetError{fmt.Sprintf(format, args...)} }

// Intervals between two calls of a source: short at first, for a machine that runs
// already, and then long enough to find an address within 300 ms, the duration of the
// call included.
const (
	firstPause = 25 * time.Millisecond
	lastPause  = 150 * time.Millisecond
)

// errAskAgain is the error of the function ask of poll while there is no address.
var errAskAgain = errors.New("ask again")

// poll asks until there is an address, the context ends, or asking fails.
func poll(ctx context.Context, missing *NotFoundError, ask func() (netip.Addr, error)) (netip.Addr, error) {
	start := time.Now()
	fail := func(cause error) (netip.Addr, error) {
		missing.Waited, missing.Cause = time.Since(start), cause
		return netip.Addr{}, missing
	}
	pause := firstPause
	for {
		if ctx.Err() != nil {
			return fail(context.Cause(ctx))
		}
		found, err := ask()
		switch {
		case err == nil:
			return found, nil
		case ctx.Err() != nil:
			return fail(context.Cause(ctx))
		case !errors.Is(err, errAskAgain):
			return fail(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		}
	}
}

// asked is the search of one source. Which one, and what it means that it has
// no answer, the strategies say.
type asked struct {
	strategy string
	source   Source
	nothing  string // said when the source knows of nothing
	reach    Reach
}

func (a asked) address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	missing := &NotFoundError{Strategy: a.strategy, MAC: mac, Seen: fmt.Sprintf("%v has not answered yet", a.source)}
	return poll(ctx, missing, func() (netip.Addr, error) {
		known, err := a.source.Addresses(ctx, mac)
		missing.Attempts++
		switch {
		case errors.Is(err, ErrNotYet):
			missing.Seen = err.Error()
			return netip.Addr{}, errAskAgain
		case err != nil && ctx.Err() != nil:
			return netip.Addr{}, err // the answer was no longer waited for
		case err != nil:
			missing.Seen = fmt.Sprintf("asking %v failed", a.source)
			return netip.Addr{}, err
		}
		missing.Seen = a.nothing
		if best, ok := Best(ctx, known, a.reach); ok {
			return best, nil
		}
		return netip.Addr{}, errAskAgain
	})
}
