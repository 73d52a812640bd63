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

// ErrNotFound is what every [NotFoundError] is.
var ErrNotFound = errors.New("no address found")

// NotFoundError says that a strategy had no answer when its time was over.
type NotFoundError struct {
	Strategy string           // as the configuration names it
	MAC      net.HardwareAddr // of the interface that was asked for
	Attempts int              // how often the source was asked
	Waited   time.Duration    // since the first attempt
	Seen     string           // what the source said last
	Cause    error            // why the wait ended: a context's cause
}

// Error names the strategy, the MAC address, the attempts and the last result.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no address for %s by strategy %s after %d attempts in %v: %s: %v",
		e.MAC, e.Strategy, e.Attempts, e.Waited.Round(10*time.Millisecond), e.Seen, e.Cause)
}

// Is makes the error an [ErrNotFound].
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// Unwrap gives the cause.
func (e *NotFoundError) Unwrap() error { return e.Cause }
