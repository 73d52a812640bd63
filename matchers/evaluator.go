package matchers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
)

// defaultLimit is the time limit of an attempt without Within.
const defaultLimit = 2 * time.Second

// evaluator is what all matchers embed. It makes their attempts, with a time
// limit, counts them and keeps the messages. T is the interface that a host must
// implement. Its methods may be called during an attempt: Ginkgo's progress
// reports ask for messages.
type evaluator[T any] struct {
	matcher string        // name of the constructor, for errors
	limit   time.Duration // of an attempt; 0 is defaultLimit

	mu     sync.Mutex
	byHost map[any]*record
	wanted string // at the last attempt
}

// record is the state of the attempts on one host.
type record struct {
	count            int
	final            bool          // another attempt cannot have another result
	running          chan struct{} // has an element while an attempt runs
	failure, negated string        // messages
}

// query describes what is asked of a host.
type query struct {
	wanted string // as in "to have /data mounted"
	tried  string // command, or address of the connection
	user   string // login user; may be empty
	// unreachable makes a failed connection a failed match instead of an error.
	unreachable bool
}

// verdict is the result of an attempt.
type verdict struct {
	ok    bool
	found string // what the host has, in either case
	err   error  // why nothing was found; found is empty then
	final bool   // another attempt cannot have another result
}

// evaluate makes one attempt: it calls try within the time limit, and judge on
// the result. The time limit does not apply to judge, which may call a matcher
// that the user passed. A host that has stopped is final. One that is paused may be
// resumed: try fails, and Eventually goes on.
func evaluate[T, R any](e *evaluator[T], actual any, q query, try func(context.Context) (R, error), judge func(R) (verdict, error)) (bool, error) {
	r := e.begin(actual)
	if stopped := exited(actual); stopped != nil {
		// Another machine may have the host's address now.
		return e.end(actual, r, q, verdict{err: fmt.Errorf("the host does not run: %w", stopped), final: true})
	}
	var got verdict
	result, err := withTimeout(e, r, try)
	if err == nil {
		got, err = judge(result)
	}
	if err != nil {
		got = verdict{err: err, final: host.IsPermanent(err)}
		stopped := exited(actual)
		if stopped != nil && !errors.Is(err, stopped) { // unless it says so already
			got.err = fmt.Errorf("%w; the host does not run: %w", err, stopped)
		}
		got.final = got.final || stopped != nil
	}
	return e.end(actual, r, q, got)
}

// identity is the judge for a try that returns the verdict.
func identity(got verdict) (verdict, error) { return got, nil }

// begin counts an attempt.
func (e *evaluator[T]) begin(actual any) *record {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := keyOf(actual)
	r, known := e.byHost[key]
	if !known {
		r = &record{running: make(chan struct{}, 1)}
		if e.byHost == nil {
			e.byHost = map[any]*record{}
		}
		e.byHost[key] = r
	}
	r.count++
	return r
}

// end stores the messages and returns the result of Match. It is an error if the
// attempt failed without telling anything about the host.
func (e *evaluator[T]) end(actual any, r *record, q query, got verdict) (bool, error) {
	host := describe(actual)
	if q.user != "" {
		host += ", as " + q.user
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wanted = q.wanted
	unknown := got.err != nil && (!q.unreachable || isInconclusive(got.err))
	if unknown {
		r.failure = message("cannot check", host, q.wanted, q.tried, r.count, got)
		r.negated, r.final = r.failure, got.final
		return false, newUnknownError(r.failure, got)
	}
	r.failure = message("Expected", host, q.wanted, q.tried, r.count, got)
	r.negated = message("Expected", host, "not "+q.wanted, q.tried, r.count, got)
	r.final = got.final
	return got.ok, nil
}

// withTimeout calls try and returns when the time limit is over, even if try
// ignores its context. The context ends a little earlier, so that try can return
// an error that says how far it got. A try that still runs is waited for by the
// next attempt.
func withTimeout[T, R any](e *evaluator[T], r *record, try func(context.Context) (R, error)) (R, error) {
	type outcome struct {
		result   R
		err      error
		panicked any
	}
	limit := e.limit
	if limit == 0 {
		limit = defaultLimit
	}
	errTimeout := fmt.Errorf("no answer within %v", limit)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit-limit/10, errTimeout)
	defer cancel()
	var none R
	done := make(chan outcome, 1)
	select {
	case r.running <- struct{}{}:
	case <-timer.C:
		return none, fmt.Errorf("%w: the previous attempt is still running", errTimeout)
	}
	go func() {
		defer func() { <-r.running }()
		o := outcome{err: errGoexit}
		defer func() {
			o.panicked = recover()
			done <- o
		}()
		o.result, o.err = callHost(func() (R, error) { return try(ctx) })
	}()
	select {
	case o := <-done:
		if o.panicked != nil {
			panic(o.panicked)
		}
		return o.result, o.err
	case <-timer.C:
		return none, errTimeout
	}
}

// errGoexit is the error of a try that called runtime.Goexit, as FailNow of
// testing.T does.
var errGoexit = errors.New("the host's method ended its goroutine (runtime.Goexit or FailNow)")

// FailureMessage says what was wanted, tried and found.
func (e *evaluator[T]) FailureMessage(actual any) string {
	return e.message(actual, func(r *record) string { return r.failure })
}

// NegatedFailureMessage says what was not wanted, and was found.
func (e *evaluator[T]) NegatedFailureMessage(actual any) string {
	return e.message(actual, func(r *record) string { return r.negated })
}

func (e *evaluator[T]) message(actual any, text func(*record) string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r, known := e.byHost[keyOf(actual)]; known {
		return text(r)
	}
	return "no attempt was made"
}

// String says what is wanted of a host, for messages of And, Or and the like.
func (e *evaluator[T]) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.wanted
}

// MatchMayChangeInTheFuture returns whether another attempt can have another
// result. Eventually stops if not.
func (e *evaluator[T]) MatchMayChangeInTheFuture(actual any) bool {
	if _, ok := actual.(T); !ok || isNil(actual) || exited(actual) != nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r, known := e.byHost[keyOf(actual)]
	return !known || !r.final
}

// evaluateCommand makes one attempt that runs a command on the host and judges
// its result.
func evaluateCommand(e *evaluator[runner], actual any, wanted, cmd string, judge func(fixture.Result) (verdict, error)) (bool, error) {
	host, err := e.host(actual)
	if err != nil {
		return false, err
	}
	q := query{wanted: wanted, tried: cmd, user: userOf(actual)}
	return evaluate(e, actual, q, func(ctx context.Context) (fixture.Result, error) {
		result, err := host.Run(ctx, cmd)
		return result, cause(actual, err)
	}, judge)
}

// unexpectedResult is the error for the result of a command that the matcher
// does not understand.
func unexpectedResult(what string, result fixture.Result) error {
	return fmt.Errorf("%s: the command %s", what, describeResult(result))
}
