package host

import (
	"errors"
	"fmt"
)

// Errors that a test may branch on. Package fixture has the same values.
var (
	ErrNotSetUp       = errors.New("host is not set up")
	ErrNoLogin        = errors.New("no login configured")
	ErrNotReachable   = errors.New("host is not reachable")
	ErrReverted       = errors.New("the host was reverted to a checkpoint meanwhile")
	ErrCheckpointGone = errors.New("the checkpoint does not exist any more")
)

// NotSetUpError means that a host is not up in this process. It is an
// [ErrNotSetUp].
type NotSetUpError struct{ Label string }

// Error names the label and what to call first.
func (e *NotSetUpError) Error() string {
	return fmt.Sprintf("host %q is not set up in this process: declare it with suite.Declare(%[1]q) and pass SetUp to BeforeSuite, or call fixture.Up(t, %[1]q) in a test, or fixture.SetUp(ctx, %[1]q)", e.Label)
}

// Is makes the error an [ErrNotSetUp].
func (e *NotSetUpError) Is(target error) bool { return target == ErrNotSetUp }
