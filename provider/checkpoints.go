package provider

import (
	"context"
	"errors"
)

// Checkpointer is implemented by an instance whose host's state can be saved and
// restored while the host exists.
type Checkpointer interface {
	// Checkpoints gives access to the checkpoints of the host. It fails if the
	// host has stopped.
	Checkpoints(ctx context.Context) (Checkpoints, error)
}

// Checkpoints are the saved states of one host, by name. They are part of the
// host and end with it. The methods are never called at the same time as each
// other.
type Checkpoints interface {
	// Freeze pauses the host. Until Thaw, that is no outage: see [OutageReporter].
	Freeze(ctx context.Context) error
	// Thaw resumes the host and returns when it runs. It has no effect on a host
	// that is not frozen.
	Thaw(ctx context.Context) error
	// Abandon ends the effect of Freeze without resuming the host: it is paused,
	// and its state is undefined until Load succeeds.
	Abandon(cause error)
	// Has reports whether there is a checkpoint of that name.
	Has(ctx context.Context, name string) (bool, error)
	// Save saves the state of the frozen host. If it fails, the state of the host
	// has not changed. The error is an [ErrNoCheckpoint] if the host cannot have
	// checkpoints.
	Save(ctx context.Context, name string) error
	// Load replaces the state of the frozen host with a checkpoint's. If it
	// fails, the state of the host is undefined.
	Load(ctx context.Context, name string) error
	// Delete removes a checkpoint. The host need not be frozen.
	Delete(ctx context.Context, name string) error
}

// ClockSetter is implemented by an instance that can set the clock of its host
// without a login.
type ClockSetter interface {
	// SetClock sets the clock of the host's system to the time of this machine.
	// The error is an [errors.ErrUnsupported] if the host has no means for that.
	SetClock(ctx context.Context) error
}

// ErrNoCheckpoint means that a host cannot have checkpoints, or that something
// that it has, such as a mounted folder, prevents one.
var ErrNoCheckpoint = errors.New("the host's state cannot be saved")
