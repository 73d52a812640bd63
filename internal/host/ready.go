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
		if err := h.awaitCondition(ctx, condition); err != nil {
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
