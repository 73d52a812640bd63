package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/overcast-go/overcast/internal/printable"
	"github.com/overcast-go/overcast/internal/shell"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/provider"
)

// Pauses between the attempts of a condition, and the limit of one attempt.
const (
	firstReadyPause = 100 * time.Millisecond
	lastReadyPause  = 2 * time.Second
	readyAttempt    = 30 * time.Second
)

// awaitConditions waits until all conditions of the host hold, one after the other, for
// readyTimeout at most.
func (h *Host) awaitConditions(ctx context.Context) error {
	if len(h.settings.Ready) == 0 {
		return nil
	}
	limit := h.settings.ReadyTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("readyTimeout of %v expired", limit))
	defer cancel()
	for _, condition := range h.settings.Ready {
		err := trace.Do(ctx, "wait until "+condition.String(), func() error { return h.awaitCondition(ctx, condition) })
		if err != nil {
			return fmt.Errorf("waiting until %s: %w", condition, err)
		}
	}
	provider.Report(ctx, provider.StepReady, "")
	return nil
}

func (h *Host) awaitCondition(ctx context.Context, condition provider.Condition) error {
	pause := firstReadyPause
	var last error
	for attempts := 1; ; attempts++ {
		attempt, cancel := context.WithTimeout(ctx, readyAttempt)
		err := h.holds(attempt, condition)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // an attempt that the timeout ends says nothing new
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w after %d attempts: %w", context.Cause(ctx), attempts, last)
		case <-time.After(pause):
			pause = min(2*pause, lastReadyPause)
		}
	}
}

// holds returns nil if a condition holds, and else what was seen.
func (h *Host) holds(ctx context.Context, c provider.Condition) error {
	switch {
	case c.HTTP != "":
		return h.answersHTTP(ctx, c)
	case c.Port != 0:
		conn, err := h.dialPort(ctx, c.Port)
		if err == nil {
			_ = conn.Close()
		}
		return err
	case c.Log != "":
		return h.succeeds(ctx, "grep -q -F -e "+shell.Quote(c.Log)+" -- "+shell.Quote(c.File), "the text is not in it")
	}
	return h.succeeds(ctx, c.Cmd, "")
}

func (h *Host) dialPort(ctx context.Context, port int) (net.Conn, error) {
	return h.route.DialContext(ctx, "tcp", net.JoinHostPort(h.instance.Address(), strconv.Itoa(port)))
}

func (h *Host) answersHTTP(ctx context.Context, c provider.Condition) error {
	url := "http://" + net.JoinHostPort(h.instance.Address(), strconv.Itoa(c.HTTPPort())) + c.HTTP
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return h.dialPort(ctx, c.HTTPPort())
	}}
	response, err := transport.RoundTrip(request) // a redirect is an answer
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if !c.IsStatus(response.StatusCode) {
		return errors.New("it answered " + printable.Excerpt(response.Status))
	}
	return nil
}

// succeeds runs a command. silent explains a failure without output.
func (h *Host) succeeds(ctx context.Context, cmd, silent string) error {
	client, err := h.Client(ctx)
	if err != nil {
		return err
	}
	result, err := client.Run(ctx, cmd)
	if err != nil || result.ExitCode == 0 {
		return err
	}
	seen := lastLines(result.Stdout + result.Stderr)
	if seen == "" {
		seen = silent
	}
	return fmt.Errorf("it exited with %d: %s", result.ExitCode, seen)
}

// verifyAddress has the provider check which machine was logged in to.
func (h *Host) verifyAddress(ctx context.Context) error {
	verifier, ok := h.instance.(provider.AddressVerifier)
	if !ok {
		return nil
	}
	err := trace.Do(ctx, "verify address", func() error {
		return verifier.VerifyAddress(ctx, func(ctx context.Context, cmd string) (string, error) {
			result, err := h.runWhileBooting(ctx, cmd)
			return result.Stdout, err
		})
	})
	h.verified.Store(err == nil)
	return err
}

// maxReconnects limits the logins of runWhileBooting.
const maxReconnects = 5

// runWhileBooting runs a command, and again after a new login if the connection is lost:
// a booting system may restart its sshd or its network. The command must be one that can
// be repeated.
func (h *Host) runWhileBooting(ctx context.Context, cmd string) (sshclient.Result, error) {
	for reconnects := 0; ; reconnects++ {
		client, err := h.Client(ctx)
		if err != nil {
			return sshclient.Result{}, err
		}
		result, err := client.Run(ctx, cmd)
		if !errors.Is(err, sshclient.ErrConnectionLost) || reconnects == maxReconnects {
			return result, err
		}
		if err := h.awaitLogin(ctx); err != nil {
			return sshclient.Result{}, err
		}
	}
}

// pinHostKey makes logins accept only the key that the provider knows, if it knows one.
func (h *Host) pinHostKey() error {
	keyer, ok := h.instance.(provider.HostKeyer)
	if !ok || keyer.HostKey() == "" {
		return nil
	}
	pin := hostkey.NewPin()
	if err := pin.UnmarshalText([]byte(keyer.HostKey())); err != nil {
		return fmt.Errorf("reading the host key: %w", err)
	}
	h.keys, h.keyKnown = pin, true
	return nil
}

// awaitReady waits until the host has configured itself, for provision.timeout at most.
func (h *Host) awaitReady(ctx context.Context) error {
	checker, ok := h.instance.(provider.ReadyChecker)
	if !ok {
		return nil
	}
	limit := h.settings.Provision.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("provision.timeout of %v expired", limit))
	defer cancel()
	return trace.Do(ctx, "wait for its own configuration", func() error {
		return checker.AwaitReady(ctx, func(ctx context.Context, cmd string) (string, int, error) {
			result, err := h.runWhileBooting(ctx, cmd)
			return result.Stdout, result.ExitCode, err
		})
	})
}
