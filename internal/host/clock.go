package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/provider"
)

// clockTimeout limits setting the clock through the provider.
const clockTimeout = 5 * time.Second

// setClock sets the clock of the host's system after a revert, unless clock = keep.
// It uses the provider's means, else the login that provisions the host.
func (h *Host) setClock(ctx context.Context) error {
	if h.settings.Clock == provider.ClockKeep {
		return nil
	}
	if setter, ok := h.instance.(provider.ClockSetter); ok {
		setting, cancel := context.WithTimeout(ctx, clockTimeout)
		err := setter.SetClock(setting)
		cancel()
		if err == nil {
			return nil
		}
	}
	if h.settings.ConnectionURL() == "" {
		return errors.New(`setting the clock after the revert: the guest's agent does not answer, and no login is configured: set connection.url, or clock = "keep"`)
	}
	client, done, err := h.provisioner(ctx)
	if err != nil {
		return fmt.Errorf("setting the clock after the revert: %w", err)
	}
	defer done()
	result, err := client.Run(ctx, clockCommand(time.Now()))
	if err != nil {
		return fmt.Errorf("setting the clock after the revert: %w", err)
	}
	if result.ExitCode != 0 {
		return fmt.Errorf(`setting the clock after the revert: date exited with %d: %s: log in as root (provision.url), install the guest agent, or set clock = "keep"`,
			result.ExitCode, lastLines(result.Stdout+result.Stderr))
	}
	return nil
}

// clockCommand is a command that sets the clock. The date of busybox has no
// fractions of a second.
func clockCommand(now time.Time) string {
	exact := fmt.Sprintf("date -u -s @%d.%03d", now.Unix(), now.Nanosecond()/1e6)
	rounded := fmt.Sprintf("date -u -s @%d", now.Round(time.Second).Unix())
	return fmt.Sprintf("sh -c '{ %s || %s || sudo -n %s; } 2>&1 >/dev/null'", exact, rounded, exact)
}
