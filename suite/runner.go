package suite

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
)

// runnerInterval is how often a process checks whether the ginkgo command that
// started it still runs.
const runnerInterval = 500 * time.Millisecond

var errRunnerEnded = errors.New("the ginkgo command that runs this process has ended")

// runner is the ginkgo command that started this process.
type runner struct {
	pid     int
	running context.Context // ends with the command; nil before it is watched
	onEnd   func()          // cleans up; nil before the command is watched
}

// check returns an error if a ginkgo command that ran several processes has
// ended.
func (r *runner) check() error {
	if processes() > 1 && os.Getppid() != r.pid {
		return errRunnerEnded
	}
	return nil
}

// watchRunner watches the ginkgo command of a run of several processes. When it
// ends before this process, the result of the specs is lost, and Ginkgo skips
// the clean-up of process 1; so this process then tears down its hosts and
// interrupts its specs. The returned context ends then, too. A clean-up of the
// suite ends the watch.
func (f *Fixtures) watchRunner(ctx ginkgo.SpecContext) context.Context {
	if processes() < 2 {
		return ctx
	}
	if f.runner.running == nil { // process 1 calls it for SetUpShared and for Join
		running, end := context.WithCancelCause(context.Background())
		f.runner.running = running
		f.runner.onEnd = sync.OnceFunc(func() { // a second caller waits for the first
			end(errRunnerEnded)
			f.cleanUpAndInterrupt()
		})
		stop := f.runner.watch()
		ginkgo.DeferCleanup(func(ginkgo.SpecContext) { stop() })
	}
	watched, cancel := context.WithCancelCause(ctx)
	running := f.runner.running
	context.AfterFunc(running, func() { cancel(context.Cause(running)) })
	return watched
}

// watch checks in intervals whether the command has ended, and calls onEnd then. stop
// waits for a check under way. Between two checks there is no goroutine: Ginkgo's progress
// reports would show it.
func (r *runner) watch() (stop func()) {
	var mu sync.Mutex // held during a check
	var timer *time.Timer
	stopped := false
	check := func() {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case stopped:
		case r.check() == nil:
			timer.Reset(runnerInterval)
		default:
			r.onEnd()
		}
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(runnerInterval, check)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// cleanUpIfRunnerEnded runs on every failure. Without its command, Ginkgo fails
// the clean-ups of process 1 instead of running them, and then ends the process:
// waiting here for the teardown prevents that.
func (f *Fixtures) cleanUpIfRunnerEnded(ctx ginkgo.SpecContext) {
	if f.runner.onEnd != nil && f.runner.hasEnded(ctx) {
		f.runner.onEnd()
	}
}

// The command counts as running when it accepts several connections, one after
// another. If it does not, it is ending, and has ended within a time limit.
const (
	answersOfRunner = 3
	answerInterval  = 20 * time.Millisecond
	runnerEndLimit  = 10 * time.Second
)

// hasEnded returns whether the command has ended or is ending. The kernel closes
// the connections of a process before its children get another parent, so Ginkgo
// may notice the end before check does.
func (r *runner) hasEnded(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, runnerEndLimit)
	defer cancel()
	for answers := 0; r.check() == nil; {
		if runnerAnswers(ctx) {
			answers++
		}
		if answers == answersOfRunner || ctx.Err() != nil {
			return false
		}
		select {
		case <-ctx.Done():
		case <-time.After(answerInterval):
		}
	}
	return true
}

// runnerAnswers returns whether the command accepts connections.
func runnerAnswers(ctx context.Context) bool {
	config, _ := ginkgo.GinkgoConfiguration()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(config.ParallelHost, "http://"))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// cleanUpAndInterrupt tears down the hosts and interrupts this process. The next
// run removes what this teardown cannot.
func (f *Fixtures) cleanUpAndInterrupt() {
	_ = f.cleanUp(context.Background())
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Signal(os.Interrupt) // Ginkgo ends the current spec and then the process
	}
}
