package transfer

import (
	"bytes"
	"sync"
)

// maxErrorText limits how much of the standard error of a script is kept, in bytes.
const maxErrorText = 64 << 10

// maxListing limits the list of a folder that a machine prints, in bytes. Without a
// limit, a machine could fill the memory of this process.
const maxListing = 64 << 20

// A boundedBuffer keeps what is written to it up to a limit in bytes, and drops the
// rest. A script may still write to it after its caller has given up.
type boundedBuffer struct {
	limit int

	mu   sync.Mutex
	text bytes.Buffer
	full bool // something was dropped
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := min(len(p), b.limit-b.text.Len())
	b.text.Write(p[:kept])
	b.full = b.full || kept < len(p)
	return len(p), nil
}

func (b *boundedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *boundedBuffer) isFull() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}
