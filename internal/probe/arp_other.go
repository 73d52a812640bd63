//go:build !linux

package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

func resolve(context.Context, net.Interface, netip.Addr) (net.HardwareAddr, error) {
	return nil, errors.ErrUnsupported
}
