package suite

import (
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/internal/filelock"
)

// DeadlockError reports that specs that run at the same time wait for each
// other, because they acquire the same hosts in different orders.
type DeadlockError struct {
	Label string // of the host that the failed spec waits for
	// Others describes the other specs of the cycle, for messages: the first
	// one holds that host and waits for a host that the second one holds, and
	// so on; the last one waits for a host that the failed spec holds.
	Others []string
}

// Error names the specs that wait for each other, and what to do.
func (e *DeadlockError) Error() string {
	return fmt.Sprintf("deadlock: the host is held by %s, which the failed spec holds: acquire hosts in the same order in every spec",
		strings.Join(e.Others, ", which is held by "))
}

func newDeadlockError(label string, cycle []filelock.Holder) *DeadlockError {
	e := &DeadlockError{Label: label}
	for _, other := range cycle {
		e.Others = append(e.Others, fmt.Sprintf("%s, which waits for %s", other.Detail, other.Label))
	}
	return e
}
