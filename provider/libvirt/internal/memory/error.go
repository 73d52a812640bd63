package memory

import (
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider"
)

// ShortageError reports that a clone, or the clones of a batch, do not fit into the
// memory of their hypervisor. It is a [provider.ErrNotEnoughMemory]. Sizes are in bytes.
type ShortageError struct {
	URL, Domain string        // the hypervisor, and the base domain
	Hosts       []string      // labels of the batch
	Needs       uint64        // of all of them, including QEMU's overhead
	Free        uint64        // neither in use nor reserved
	Total       uint64        // of the hypervisor
	Users       []string      // clones that hold memory or are queued ahead
	Waited      time.Duration // 0 if waiting cannot help
	Cause       error         // why the wait ended; nil if there was no wait
}

// Error names the sizes, what holds the memory, and what to do.
func (e *ShortageError) Error() string {
	text := fmt.Sprintf("a clone of %q needs %s of memory at %s", e.Domain, size(e.Needs), redact.Text(e.URL))
	less := "it can never fit: give the base domain less <memory>"
	if len(e.Hosts) > 1 {
		text = fmt.Sprintf("%s, which are set up together, need %s of memory at %s", strings.Join(e.Hosts, ", "), size(e.Needs), redact.Text(e.URL))
		less = "they can never fit: give their base domains less <memory>, declare fewer hosts"
	}
	if e.Cause == nil {
		return text + fmt.Sprintf(", which has %s in all: %s, or use another hypervisor", size(e.Total), less)
	}
	return text + fmt.Sprintf(", where %s of %s are free (%s); waited %v: %v: wait longer (memoryWait), run fewer processes, tear their hosts down earlier (AfterSuite(hosts.TearDown)), or remove clones that were kept (overcast gc)",
		size(e.Free), size(e.Total), e.holders(), e.Waited.Round(10*time.Millisecond), e.Cause)
}

// holders names what holds the memory.
func (e *ShortageError) holders() string {
	if len(e.Users) == 0 {
		return "no clone holds memory"
	}
	return strings.Join(e.Users, ", ") + " hold memory or are queued ahead"
}

// Is makes the error a [provider.ErrNotEnoughMemory].
func (e *ShortageError) Is(target error) bool { return target == provider.ErrNotEnoughMemory }

// Unwrap returns the cause.
func (e *ShortageError) Unwrap() error { return e.Cause }

// size formats an amount of memory.
func size(bytes uint64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}
