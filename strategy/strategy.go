package strategy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Strategy finds the address of a network interface.
type Strategy interface {
	// Address waits until the interface with this MAC address has an address,
	// or until ctx ends. The error is then a *NotFoundError.
	Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error)
}

// ErrNotFound means that a strategy found no address: see [NotFoundError].
var ErrNotFound = errors.New("no address found")

// NotFoundError reports that a strategy found no address until its context ended, or
// that it cannot find one. It is an [ErrNotFound].
type NotFoundError struct {
	Strategy string           // as the configuration names it
	MAC      net.HardwareAddr // of the interface
	Attempts int              // calls of the source
	Waited   time.Duration    // since the first attempt
	Seen     string           // last result of the source
	Cause    error            // why the wait ended, such as the cause of the context
}

// Error names the strategy, the MAC address, the attempts and the last result.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no address for %s by strategy %s after %d attempts in %v: %s: %v",
		e.MAC, e.Strategy, e.Attempts, e.Waited.Round(10*time.Millisecond), e.Seen, e.Cause)
}

// Is makes the error an [ErrNotFound].
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// Unwrap returns the cause.
func (e *NotFoundError) Unwrap() error { return e.Cause }
