package strategy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/ssh"
)

// MACPlaceholder stands in an [SSH] command for the MAC address.
const MACPlaceholder = "{0}"

// SSH asks a machine that knows which addresses are in use.
type SSH struct {
	// Target is where to log in.
	Target ssh.Target
	// Command is run there, by its shell, with the MAC address in place of
	// every {0}. It prints the address once it knows it, and until then
	// nothing; how it exits does not matter.
	Command string
	// Timeout bounds the look-up, the login included.
	Timeout time.Duration
	// Options are for the login; nil are the usual ones.
	Options *ssh.Options
}

var _ Strategy = SSH{}

// Address runs the command over one connection until it prints an address. It
// fails at once if nobody can log in, or if what is printed is no address.
func (s SSH) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	missing := &NotFoundError{Strategy: "SSH", MAC: mac, Seen: fmt.Sprintf("%s was not asked yet", s.Target)}
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("SSH.timeout of %v is over", s.Timeout))
	defer cancel()
	client, err := ssh.Dial(ctx, s.Target, s.Options)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		missing.Waited, missing.Cause = time.Since(start), err
		return netip.Addr{}, missing
	}
	defer client.Close()
	command := strings.ReplaceAll(s.Command, MACPlaceholder, mac.String())
	return poll(ctx, missing, func() (netip.Addr, error) {
		result, err := client.Run(ctx, command)
		if err != nil {
			return netip.Addr{}, err
		}
		missing.Attempts++
		missing.Seen = s.seen(command, result)
		printed := strings.TrimSpace(result.Stdout)
		if printed == "" {
			return netip.Addr{}, errAskAgain
		}
		addr, err := netip.ParseAddr(firstWord(printed))
		if err != nil {
			return netip.Addr{}, fmt.Errorf("SSH.command printed %q, which is no address", firstWord(printed))
		}
		return addr, nil
	})
}

// seen tells what a command did that printed no address.
func (s SSH) seen(command string, result ssh.Result) string {
	seen := fmt.Sprintf("%q on %s printed %q and exited with %d", command, s.Target.Host, strings.TrimSpace(result.Stdout), result.ExitCode)
	if complaint := strings.TrimSpace(result.Stderr); complaint != "" {
		seen += fmt.Sprintf(" (standard error: %q)", complaint)
	}
	return seen
}

// firstWord is the first of several addresses: a machine that has been given
// a second lease has a line for each.
func firstWord(text string) string { return strings.Fields(text)[0] }

func (s SSH) String() string { return "SSH to " + s.Target.String() }
