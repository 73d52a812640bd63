package owner

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/provider"
)

// WaitReporter reports a step of a set-up that waits for something that another
// process or clone holds. It reports again when the holder changes.
type WaitReporter struct {
	Step string // as in "waiting for memory"
	last string // holder that was reported last
}

// NewHolder identifies this process to the processes that wait for what it holds.
func NewHolder(label string) filelock.Holder {
	dir, _ := os.Getwd() // for messages
	return filelock.Holder{PID: os.Getpid(), Label: label, Detail: filepath.Base(os.Args[0]) + " in " + dir, Since: time.Now()}
}

// Report reports the holder, with a detail, unless it was the last that was reported.
func (w *WaitReporter) Report(ctx context.Context, holder, detail string) {
	if holder == w.last {
		return
	}
	w.last = holder
	provider.Report(ctx, w.Step, detail)
}
