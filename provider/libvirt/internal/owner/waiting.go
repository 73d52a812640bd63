package owner

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/provider"
)

// waiting is a step of a set-up that lasts as long as somebody else has
// something. Who that is, is told each time that it changes: a person who sees
// nothing happen wants to know whom to ask.
type Wait struct {
	Step string // as in "waiting for memory"
	told string // who was said to have it
}

// thisProcess is who holds, or waits for, what others wait for.
func NewHolder(label string) filelock.Holder {
	folder, _ := os.Getwd() // for people
	return filelock.Holder{PID: os.Getpid(), Label: label, Detail: filepath.Base(os.Args[0]) + " in " + folder, Since: time.Now()}
}

// tell says who is waited for, with what there is to know about that.
func (w *Wait) Tell(ctx context.Context, who, detail string) {
	if who == w.told {
		return
	}
	w.told = who
	provider.Report(ctx, w.Step, detail)
}
