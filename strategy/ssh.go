package strategy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// MACPlaceholder stands in an [SSH] command for the MAC address.
const MACPlaceholder = "{0}"

// SSH asks a machine that knows which addresses are in use.
type SSH struct {
	// Target is where to log in.
	Target sshurl.Target
	// Command is run there, by its shell, with the MAC address in place of
	// every {0}. It prints the address once it knows it, and until then
	// nothing; how it exits does not matter.
	Command string
	// Timeout bounds the look-up, the login included.
	Timeout time.Duration
	// Reach helps to choose when several addresses are printed; see Best. It
	// may be nil.
	Reach Reach
	// Stale reports whether an address is that of an earlier machine with the
	// same MAC address; the command is run again then. It may be nil.
	Stale func(ctx context.Context, addr netip.Addr) bool
	// Options are for the login; nil are the usual ones.
	Options *sshclient.Options
}

var _ Strategy = SSH{}

// Address runs the command over one connection until it prints an address. It
// fails at once if the login fails or if the output is not an address.
func (s SSH) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	missing := &NotFoundError{Strategy: "SSH", MAC: mac, Seen: fmt.Sprintf("%s was not asked yet", s.Target)}
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("SSH.timeout of %v expired", s.Timeout))
	defer cancel()
	client, err := sshclient.Dial(ctx, s.Target, s.Options)
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
		missing.Attempts++
		// One that was cut short and said nothing tells less than the one before it.
		if said := strings.TrimSpace(result.Stdout+result.Stderr) != ""; err == nil || said || missing.Attempts == 1 {
			missing.Seen = s.seen(command, result, err)
		}
		if err != nil {
			return netip.Addr{}, err
		}
		printed := strings.Fields(result.Stdout)
		if len(printed) == 0 {
			return netip.Addr{}, errAskAgain
		}
		addrs, err := addresses(printed)
		if err != nil {
			return netip.Addr{}, err
		}
		if s.Stale != nil {
			addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return s.Stale(ctx, a) })
		}
		if len(addrs) == 0 {
			missing.Seen += ", which is an earlier machine's address"
			return netip.Addr{}, errAskAgain
		}
		best, ok := Best(ctx, addrs, s.Reach)
		if !ok {
			return netip.Addr{}, fmt.Errorf("SSH.command printed %q, which is no address that others could use", printed[0])
		}
		return best, nil
	})
}

// addresses reads what a command has printed: one address, or several, as a
// machine that has been given a second lease has a line for each.
func addresses(printed []string) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, word := range printed {
		addr, err := netip.ParseAddr(word)
		if err != nil {
			return nil, fmt.Errorf("SSH.command printed %q, which is no address", word)
		}
		found = append(found, addr)
	}
	return found, nil
}

// seen describes what a command did that printed no address. err is not nil if it did not
// end.
func (s SSH) seen(command string, result sshclient.Result, err error) string {
	how := fmt.Sprintf("exited with %d", result.ExitCode)
	if err != nil {
		how = "had not ended"
	}
	seen := fmt.Sprintf("%q on %s printed %q and %s", command, s.Target.Host, strings.TrimSpace(result.Stdout), how)
	if complaint := strings.TrimSpace(result.Stderr); complaint != "" {
		seen += fmt.Sprintf(" (standard error: %q)", complaint)
	}
	return seen
}

func (s SSH) String() string { return "SSH to " + s.Target.String() }
