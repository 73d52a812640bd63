//go:build !linux

package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

func answers(context.Context, net.Interface, netip.Addr, netip.Addr, time.Duration) ([]net.HardwareAddr, error) {
	return nil, errors.ErrUnsupported
}

func scan(context.Context, net.Interface, netip.Prefix, net.HardwareAddr) (netip.Addr, error) {
	return netip.Addr{}, errors.ErrUnsupported
}

// Neighbours is not supported on this system.
func Neighbours(string) ([]Neighbour, error) { return nil, errors.ErrUnsupported }
