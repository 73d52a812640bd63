package matchers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/ssh"
)

// defaultBound is how long an attempt may take where Within does not say.
const defaultBound = 2 * time.Second

// attempts is what all matchers are built on: it bounds and counts their
// attempts, and keeps the messages. Messages are asked for while an attempt is
// under way, too: Ginkgo's progress reports do that.
type attempts struct {
	bound time.Duration // 0 is the default

	mu     sync.Mutex
	byHost map[any]*record
	wanted string // at the last attempt
}

// String is what is wanted of a host, for matchers that list others.
func (a *attempts) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wanted
}

// record is what is known of a host from the attempts so far.
type record struct {
	count            int
	final            bool          // no further attempt would end otherwise
	running          chan struct{} // of the last attempt, closed when it is over
	failure, negated string
}

// A question is what is asked of a host.
type question struct {
	wanted string // as in "to have /data mounted"
	tried  string // what is run, or where it is connected to
	user   string // who logs in, if that is known
	// unreachable says that no answer is an answer: the match has failed.
	unreachable bool
}

// An answer is what came back.
type answer struct {
	ok    bool
	found string // evidence, in either case
	err   error  // in place of found: why there was nothing to find
	final bool
}

// ask makes one attempt: try, within the bound, and judge what it brought.
// What is given to judge is judged here and not within the bound: matchers
// that users give may do what they like.
func ask[T any](a *attempts, actual any, q question, try func(context.Context) (T, error), judge func(T) (answer, error)) (bool, error) {
	r := a.begin(actual)
	if ended := hasEnded(actual); ended != nil {
		// Its address may be another machine's by now.
		return a.end(actual, r, q, answer{err: fmt.Errorf("the host has ended: %w", ended), final: true})
	}
	var got answer
	result, err := bounded(a, r, try)
	if err == nil {
		got, err = judge(result)
	}
	if err != nil {
		got = answer{err: err, final: isFinal(err)}
		if ended := hasEnded(actual); ended != nil {
			got = answer{err: fmt.Errorf("%w; the host has ended: %w", err, ended), final: true}
		}
	}
	return a.end(actual, r, q, got)
}

func (a *attempts) begin(actual any) *record {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := keyOf(actual)
	r, known := a.byHost[key]
	if !known {
		r = &record{}
		if a.byHost == nil {
			a.byHost = map[any]*record{}
		}
		a.byHost[key] = r
	}
	r.count++
	return r
}

// end writes down what there is to say. An error is one that is about the
// means of finding out: then nothing is known of the host.
func (a *attempts) end(actual any, r *record, q question, got answer) (bool, error) {
	host := describe(actual)
	if q.user != "" {
		host += ", as " + q.user
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted = q.wanted
	unknown := got.err != nil && (!q.unreachable || aboutMeans(got.err))
	if unknown {
		r.failure = message("cannot check", host, q.wanted, q.tried, r.count, got)
		r.negated, r.final = r.failure, got.final
		return false, newUnknown(r.failure, got)
	}
	r.failure = message("Expected", host, q.wanted, q.tried, r.count, got)
	r.negated = message("Expected", host, "not "+q.wanted, q.tried, r.count, got)
	r.final = got.final
	return got.ok, nil
}

// bounded tries for as long as the bound says and no longer, also where what
// is tried pays no heed to its context. It is given up a little before, so
// that it has the time to say how far it got. What is left behind then, the
// next attempt waits for.
func bounded[T any](a *attempts, r *record, try func(context.Context) (T, error)) (T, error) {
	type outcome struct {
		value    T
		err      error
		panicked any
	}
	bound := a.bound
	if bound == 0 {
		bound = defaultBound
	}
	over := fmt.Errorf("no answer within %v", bound)
	limit := time.NewTimer(bound)
	defer limit.Stop()
	ctx, cancel := context.WithTimeoutCause(context.Background(), bound-bound/10, over)
	defer cancel()
	var none T
	done, ended := make(chan outcome, 1), make(chan struct{})
	if before := a.follow(r, ended); before != nil {
		select {
		case <-before:
		case <-limit.C:
			a.follow(r, before)
			close(ended)
			return none, fmt.Errorf("%w: the attempt before is still under way", over)
		}
	}
	go func() {
		defer close(ended)
		o := outcome{err: errGone}
		defer func() {
			o.panicked = recover()
			done <- o
		}()
		o.value, o.err = guarded(func() (T, error) { return try(ctx) })
	}()
	select {
	case o := <-done:
		if o.panicked != nil {
			panic(o.panicked)
		}
		return o.value, o.err
	case <-limit.C:
		return none, over
	}
}

// errGone is what is left of an attempt that called runtime.Goexit, as
// testing.T's FailNow does.
var errGone = errors.New("the host's method ended its goroutine")

// follow puts an attempt in the place of the one before, which it returns.
func (a *attempts) follow(r *record, attempt chan struct{}) (before chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, r.running = r.running, attempt
	return before
}

// FailureMessage tells what was wanted, tried and found.
func (a *attempts) FailureMessage(actual any) string {
	return a.told(actual, func(r *record) string { return r.failure })
}

// NegatedFailureMessage tells what was not wanted, and found all the same.
func (a *attempts) NegatedFailureMessage(actual any) string {
	return a.told(actual, func(r *record) string { return r.negated })
}

func (a *attempts) told(actual any, text func(*record) string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r, known := a.byHost[keyOf(actual)]; known {
		return text(r)
	}
	return "nothing has been tried yet"
}

// mayChange says whether a further attempt can end otherwise; T is what the
// matcher needs.
func mayChange[T any](a *attempts, actual any) bool {
	if _, ok := actual.(T); !ok || isNil(actual) || hasEnded(actual) != nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r, known := a.byHost[keyOf(actual)]
	return !known || !r.final
}

// message is what people read.
func message(verb, host, wanted, tried string, count int, got answer) string {
	shown, secrets := ssh.Redact(tried)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n    %s\n%s\n", verb, host, wanted)
	field(&b, "tried", shown)
	if got.err != nil {
		field(&b, "last error", got.err.Error())
	} else {
		field(&b, "found", got.found)
	}
	fmt.Fprintf(&b, "attempts: %d", count)
	return ssh.Hide(b.String(), secrets)
}

// field is a line, or several that are set off.
func field(b *strings.Builder, name, text string) {
	text = strings.TrimRight(text, "\n")
	if strings.Contains(text, "\n") {
		text = "\n    " + strings.ReplaceAll(text, "\n", "\n    ")
	} else {
		text = " " + text
	}
	fmt.Fprintf(b, "%s:%s\n", name, text)
}

// An unknownError says that a matcher could not find out.
type unknownError struct {
	text   string
	causes []error
}

func newUnknown(text string, got answer) error {
	e := &unknownError{text, []error{got.err}}
	if got.final {
		e.causes = append(e.causes, gomega.StopTrying("nothing that waiting could mend"))
	}
	return e
}

func (e *unknownError) Error() string   { return e.text }
func (e *unknownError) Unwrap() []error { return e.causes }

// FormattedGomegaError keeps Gomega from taking the error apart.
func (e *unknownError) FormattedGomegaError() string { return e.text }

// A usageError says that a matcher was asked for something that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string                { return e.text }
func (e *usageError) FormattedGomegaError() string { return e.text }
func (e *usageError) Unwrap() error                { return gomega.StopTrying(e.text) }

func misused(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// aboutMeans says that an error tells nothing of whether a host can be
// reached: this machine is not able to find out, or another machine answers, or
// the way there is barred.
func aboutMeans(err error) bool {
	return errors.Is(err, fixture.ErrNotSetUp) || errors.Is(err, fixture.ErrHypervisorNotReachable) || isFinal(err)
}

// isFinal says that trying again would end the same way.
func isFinal(err error) bool {
	var keyFile *ssh.KeyFileError
	var mismatch *ssh.HostKeyMismatchError
	var unknown *ssh.HostKeyUnknownError
	var revoked *ssh.HostKeyRevokedError
	var dial *ssh.DialError
	return errors.Is(err, fixture.ErrNoLogin) ||
		errors.As(err, &keyFile) || errors.As(err, &mismatch) || errors.As(err, &unknown) || errors.As(err, &revoked) ||
		(errors.As(err, &dial) && dial.Phase == ssh.PhaseSettings)
}

func isNoLogin(err error) bool { return errors.Is(err, fixture.ErrNoLogin) }
