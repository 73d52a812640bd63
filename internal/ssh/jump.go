package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxJumps ends a ProxyJump that leads back to itself.
const maxJumps = 8

// jump opens the machines of ProxyJump, each through the one before it, and
// gives the last one; nil when there are none. A machine's own ProxyJump
// counts only for the first, as with ssh.
func (d dialing) jump(ctx context.Context, e endpoint) (*Client, error) {
	var last *Client
	for _, spec := range e.jumps {
		err := errors.New("more than 8 machines in a row: does ProxyJump lead back to itself?")
		var next *Client
		if d.depth < maxJumps {
			next, err = d.hop(ctx, strings.TrimSpace(spec), last)
		}
		if err != nil {
			last.Close()
			phase := phaseOf(err)
			if phase == "" {
				phase = PhaseSettings
			}
			return nil, &DialError{phase, e.addr(), fmt.Errorf("by way of %s (ProxyJump): %w", spec, err)}
		}
		last = next
	}
	return last, nil
}

func (d dialing) hop(ctx context.Context, spec string, last *Client) (*Client, error) {
	t, err := ParseURL("ssh://" + strings.TrimPrefix(spec, "ssh://"))
	if err != nil {
		return nil, err
	}
	next := dialing{opts: d.opts, settings: d.settings, depth: d.depth + 1}
	if last != nil {
		next.dialer, next.under = last, last
	}
	return next.connect(ctx, t, nil)
}
