package filelock

import (
	"fmt"
	"time"
)

// Holder describes the owner of a ticket to the other processes. It is the
// content of the ticket's file.
type Holder struct {
	PID    int       `json:"pid"`
	Label  string    `json:"label"`           // of the host
	Detail string    `json:"detail"`          // program or spec, for messages
	Since  time.Time `json:"since"`           // when the owner joined
	Needs  uint64    `json:"needs,omitempty"` // how much of a shared resource the owner needs, in the resource's unit
	Holds  []string  `json:"holds,omitempty"` // names of the queues in which the owner is first and stays first while it waits
}

// String is for messages, as in "static_host of process 4711 (itest.test in /src/itest)".
func (h Holder) String() string {
	if h.PID == 0 {
		return "an unknown process"
	}
	return fmt.Sprintf("%s of process %d (%s)", h.Label, h.PID, h.Detail)
}
