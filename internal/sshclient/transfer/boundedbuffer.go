package transfer

import (
	"bytes"
	"sync"
)

// maxErrorText limits how much of the standard error of a script is kept, in bytes.
const maxErrorText = 64 << 10

// A boundedBuffer keeps what is written to it up to a limit in bytes, and drops the
// rest. A script may still write to it after its caller has given up.
type boundedBuffer struct {
	limit int

	mu   sync.Mutex
	text bytes.Buffer
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p[:min(len(p), b.limit-b.text.Len())])
	return len(p), nil
}

func (b *boundedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
