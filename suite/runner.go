package suite

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
)

// runnerPause is how often a process looks whether the program that has
// started it still runs.
const runnerPause = 500 * time.Millisecond

var errRunnerGone = errors.New("the ginkgo command that runs this process has ended")

// watchRunner takes this process's hosts away, and then interrupts its specs,
// when the ginkgo command that runs several processes has ended before them:
// nobody gets to know any more how the specs end, and process 1 would skip its
// clean-up. The context that it answers with ends then, too. A clean-up of the
// suite ends the watch, and waits for that.
func (f *Fixtures) watchRunner(ctx ginkgo.SpecContext) context.Context {
	if processes() < 2 {
		return ctx
	}
	if f.life == nil { // process 1 comes twice: with SetUpShared, and with Join
		life, end := context.WithCancelCause(context.Background())
		f.life = life
		f.abandon = sync.OnceFunc(func() { // who comes later waits
			end(errRunnerGone)
			f.takeAwayAbandoned()
		})
		over, ended := make(chan struct{}), make(chan struct{})
		ginkgo.DeferCleanup(func(ginkgo.SpecContext) {
			close(over)
			<-ended
		})
		go f.lookAtRunner(over, ended)
	}
	watched, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(f.life, func() { cancel(context.Cause(f.life)) })
	return watched
}

func (f *Fixtures) lookAtRunner(over <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	look := time.NewTicker(runnerPause)
	defer look.Stop()
	for f.runnerIsThere() == nil {
		select {
		case <-look.C:
		case <-over:
			return
		}
	}
	f.abandon()
}

// heedRunner looks at once whether the runner has ended, and waits then until the
// hosts are taken away. With no runner to ask, Ginkgo fails the clean-ups of
// process 1 in place of running them, and would end the process meanwhile.
func (f *Fixtures) heedRunner(ginkgo.SpecContext) {
	if f.abandon != nil && f.runnerIsThere() != nil {
		f.abandon()
	}
}

// runnerIsThere refuses to set anything up for a command that has ended already,
// as a suite may do something slow before.
func (f *Fixtures) runnerIsThere() error {
	if processes() > 1 && os.Getppid() != f.runner {
		return errRunnerGone
	}
	return nil
}

// takeAwayAbandoned is what is done in a process whose runner has gone. What
// cannot be removed here, the start of the next run removes.
func (f *Fixtures) takeAwayAbandoned() {
	_ = f.takeAway(context.Background())
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Signal(os.Interrupt) // Ginkgo ends the spec that runs, and then the process
	}
}
