package provider

import "errors"

// Errors that a test may branch on with errors.Is. Providers return errors of
// their own that wrap these, or that have an Is method. Package fixture has the
// same values under the same names.
var (
	// ErrInvalidConfiguration means that a configuration cannot be read, or
	// that a host's section is invalid. If the position is known, the error is
	// also a [hocon.Error].
	ErrInvalidConfiguration = errors.New("invalid configuration")
	// ErrBaseDomainMissing means that the domain to clone does not exist.
	ErrBaseDomainMissing = errors.New("base domain does not exist")
	// ErrBaseDomainRunning means that the domain to clone is not shut off.
	ErrBaseDomainRunning = errors.New("base domain is not shut off")
	// ErrAddressNotFound means that the host started but got no address in time.
	ErrAddressNotFound = errors.New("address not found")
	// ErrAddressConflict means that the host got an address that another machine
	// has. A retry does not help: the error says how to change the base.
	ErrAddressConflict = errors.New("address conflict")
	// ErrStaticAddressInUse means that another host has the static address.
	ErrStaticAddressInUse = errors.New("static address is in use")
	// ErrNotEnoughMemory means that the host does not fit into the
	// hypervisor's memory.
	ErrNotEnoughMemory = errors.New("not enough memory")
	// ErrHypervisorNotReachable means that the connection to the hypervisor could
	// not be opened or was lost, or that the login to its machine failed through
	// which the host is reached. The host itself may be running.
	ErrHypervisorNotReachable = errors.New("hypervisor is not reachable")
	// ErrHostStopped means that the host has stopped: it crashed, powered itself
	// off, or was destroyed. It does not run again.
	ErrHostStopped = errors.New("host has stopped")
	// ErrHostPaused means that the host is paused. It can be used again when it
	// is resumed.
	ErrHostPaused = errors.New("host is paused")
)
