package strategy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// MACPlaceholder is the part of an [SSH] command that the MAC address replaces.
const MACPlaceholder = "{0}"

// SSH runs a command on a machine that knows the address, such as a DHCP server,
// until the command prints an address.
type SSH struct {
	// URL is the connection URL of the machine, such as ssh://user@dhcp-box. It
	// may contain a password: String and errors hide it.
	URL string
	// Command is run by the shell of the machine, with the MAC address in place of
	// every {0}. It prints the address, or nothing while there is none: it is then
	// run again. Its exit code is ignored.
	Command string
	// Timeout limits the look-up, the login included.
	Timeout time.Duration
	// Reach chooses between several addresses; it may be nil.
	Reach Reach
	// Stale reports whether an address belonged to an earlier machine with the
	// same MAC address. The command is then run again. It may be nil.
	Stale func(ctx context.Context, addr netip.Addr) bool
}

var _ Strategy = SSH{}

// Address runs the command over one connection until it prints an address. It
// fails at once if the login fails, or if the command prints something else.
func (s SSH) Address(ctx context.Context, mac net.HardwareAddr) (netip.Addr, error) {
	missing := &NotFoundError{Strategy: "SSH", MAC: mac, Seen: "no login yet"}
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("SSH.timeout of %v expired", s.Timeout))
	defer cancel()
	client, err := s.login(ctx)
	if err != nil {
		missing.Waited, missing.Cause = time.Since(start), err
		return netip.Addr{}, missing
	}
	defer client.Close()
	command := strings.ReplaceAll(s.Command, MACPlaceholder, mac.String())
	return poll(ctx, missing, func() (netip.Addr, error) {
		result, err := client.Run(ctx, command)
		missing.Attempts++
		// A run that the context ended and that printed nothing says less than the
		// one before it.
		if printed := strings.TrimSpace(result.Stdout+result.Stderr) != ""; err == nil || printed || missing.Attempts == 1 {
			missing.Seen = seen(client, command, result, err)
		}
		if err != nil {
			return netip.Addr{}, err
		}
		return s.choose(ctx, result.Stdout, missing)
	})
}

func (s SSH) login(ctx context.Context) (*sshclient.Client, error) {
	target, err := sshurl.ParseURL(s.URL)
	if err != nil {
		return nil, err
	}
	client, err := sshclient.Dial(ctx, target, nil)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return client, err
}

// choose returns the best address of an output.
func (s SSH) choose(ctx context.Context, output string, missing *NotFoundError) (netip.Addr, error) {
	printed := strings.Fields(output)
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
		return netip.Addr{}, fmt.Errorf("SSH.command printed %.100q, which is a loopback, link-local, multicast or unspecified address", printed[0])
	}
	return best, nil
}

// addresses parses the output of a command: an address, or several if the machine
// has several leases.
func addresses(printed []string) ([]netip.Addr, error) {
	var found []netip.Addr
	for _, word := range printed {
		addr, err := netip.ParseAddr(word)
		if err != nil {
			return nil, fmt.Errorf("SSH.command printed %.100q, which is no address", word)
		}
		found = append(found, addr)
	}
	return found, nil
}

// seen describes a run that printed no address. err means that the command did not
// end by itself.
func seen(client *sshclient.Client, command string, result sshclient.Result, err error) string {
	how := fmt.Sprintf("exited with %d", result.ExitCode)
	if err != nil {
		how = "had not ended"
	}
	text := fmt.Sprintf("%q on %s printed %.500q and %s", command, client.Target().Host, strings.TrimSpace(result.Stdout), how)
	if complaint := strings.TrimSpace(result.Stderr); complaint != "" {
		text += fmt.Sprintf(" (standard error: %.500q)", complaint)
	}
	return text
}

// String names the machine, without secrets.
func (s SSH) String() string {
	return "SSH to " + redact.Text(s.URL)
}

// GoString is String: the URL may contain a password.
func (s SSH) GoString() string { return s.String() }
