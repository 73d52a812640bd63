package ssh

import (
	"bytes"
	"io"
	"sync"
)

// output keeps what a command prints up to a bound on both streams together.
// It may still be written to after its command was given up.
type output struct {
	mu             sync.Mutex
	limit, left    int
	stdout, stderr bytes.Buffer
	full           chan error // gets an error when the bound is passed
}

func newOutput(limit int) *output {
	return &output{limit: limit, left: limit, full: make(chan error, 1)}
}

// stream is a writer onto one of the buffers.
func (o *output) stream(b *bytes.Buffer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		kept := p[:min(len(p), o.left)]
		b.Write(kept)
		o.left -= len(kept)
		if len(kept) < len(p) {
			select {
			case o.full <- &OutputLimitError{o.limit}:
			default: // said already
			}
		}
		return len(p), nil // the rest is read and dropped, so that the command can end
	})
}

func (o *output) result() Result {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Result{Stdout: o.stdout.String(), Stderr: o.stderr.String()}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
