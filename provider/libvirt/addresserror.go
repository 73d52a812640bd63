package libvirt

import (
	"context"
	"errors"
	"fmt"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
)

// addressError returns the error of a look-up that has found no address: the
// cause first. What a strategy saw explains nothing if the domain did not run or
// the connection was lost. ctx is the context of the look-up, and asked that of
// its caller.
func (i *instance) addressError(ctx, asked context.Context, domain string, err error) error {
	if loss := i.on.CheckLost(); loss != nil {
		return loss
	}
	_, outage := i.Outage()
	var stopped *virt.StoppedError
	var paused *virt.PausedError
	cause := context.Cause(ctx)
	switch {
	case errors.As(cause, &stopped): // has the console's last lines itself
		return fmt.Errorf("%w: %w", provider.ErrAddressNotFound, stopped)
	case errors.As(cause, &paused):
		err = paused
	case asked.Err() != nil:
		return fmt.Errorf("looking for the address of domain %s: %w", domain, err)
	case outage != nil:
		err = fmt.Errorf("domain %s: %w: %w", domain, err, outage)
	default:
		err = fmt.Errorf("domain %s: %w", domain, err)
	}
	return fmt.Errorf("%w: %w%s", provider.ErrAddressNotFound, err, virt.Quoted("last lines of the console", i.Console(virt.ShownLines)))
}
