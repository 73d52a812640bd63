package sshclient_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
)

func TestRun(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	c := connect(t, server.URL(), nil)
	for _, tc := range []struct {
		name, cmd string
		want      sshclient.Result
	}{
		{"output", "printf out; printf err >&2", sshclient.Result{Stdout: "out", Stderr: "err"}},
		{"a failing command", "echo no >&2; exit 3", sshclient.Result{Stderr: "no\n", ExitCode: 3}},
		{"the seed's look-up", `echo "1 52:54:00:00:00:01 10.0.0.7 x" | grep 52:54:00:00:00:01 | cut -d " " -f 3`, sshclient.Result{Stdout: "10.0.0.7\n"}},
		{"nothing on standard input", "cat", sshclient.Result{}},
		{"ended by a signal", "kill -KILL $$", sshclient.Result{ExitCode: 137, Signal: "KILL"}},
		{"ended by a signal that the library does not know", "kill -USR1 $$", sshclient.Result{ExitCode: 138, Signal: "USR1"}},
		{"ended by a signal that the server does not name", "kill -34 $$", sshclient.Result{ExitCode: 128, Signal: "unknown"}},
		{"a command that is not there", "no-such-command 2>/dev/null", sshclient.Result{ExitCode: 127}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := run(t, c, tc.cmd); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestRunOutputIsBounded(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	opts := lonely(t)
	opts.MaxOutput = 10
	c := connect(t, server.URL(), opts)
	r, err := c.Run(t.Context(), "yes")
	var limit *sshclient.OutputLimitError
	if !errors.As(err, &limit) || limit.Limit != 10 {
		t.Fatalf("got %v, want an OutputLimitError", err)
	}
	if r.Stdout != "y\ny\ny\ny\ny\n" {
		t.Errorf("kept %q", r.Stdout)
	}
	if got := run(t, c, "printf 0123456789"); got.Stdout != "0123456789" {
		t.Errorf("just up to the bound: got %q", got.Stdout)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, prelude string }{
		{"a command that ends when told", `trap 'echo told >told; exit' TERM`},
		{"a command that does not", `trap '' TERM`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := sshtest.Start(t, sshtest.Config{})
			c := connect(t, server.URL(), nil)
			ctx, cancel := context.WithCancelCause(t.Context())
			pipe := fifo(t, server.Dir, "started")
			go func() {
				os.ReadFile(pipe) // until the command has opened it
				cancel(errors.New("enough"))
			}()
			r, err := c.Run(ctx, tc.prelude+`; echo partly; echo >started; while :; do :; done`)
			if err == nil || !strings.Contains(err.Error(), "enough") {
				t.Fatalf("got %v, want the cause of the context", err)
			}
			if r.Stdout != "partly\n" {
				t.Errorf("kept %q of the output", r.Stdout)
			}
			if strings.Contains(tc.prelude, "told") {
				if _, err := os.Stat(filepath.Join(server.Dir, "told")); err != nil {
					t.Errorf("the command was not told to end: %v", err)
				}
			}
			if got := run(t, c, "echo still there"); got.Stdout != "still there\n" {
				t.Errorf("afterwards the connection gives %+v", got)
			}
		})
	}
}

func TestTrackedRunLeavesNoProcess(t *testing.T) {
	t.Parallel()
	server := sshtest.Start(t, sshtest.Config{NoSignals: true})
	leavesNoProcess(t, connect(t, server.URL(), tracking(t)), server.Dir)
}

func TestTrackedRunHidesItsMark(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	opts := tracking(t)
	opts.MaxOutput = 10
	c := connect(t, server.URL(), opts)
	if got := run(t, c, "printf 0123456789; exit 3"); got != (sshclient.Result{Stdout: "0123456789", ExitCode: 3}) {
		t.Errorf("got %+v", got)
	}
	if got := run(t, c, "printf '%s' te"); got.Stdout != "te" { // the prefix begins with the same
		t.Errorf("got %+v", got)
	}
	if got := server.Commands()[0]; got != "printf 0123456789; exit 3" {
		t.Errorf("the server reports the command as %q", got)
	}
	if r, err := c.Run(t.Context(), "yes"); err == nil || r.Stdout != "y\ny\ny\ny\ny\n" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestRunWithAContextThatHasEnded(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	c := connect(t, server.URL(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Run(ctx, "echo"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if len(server.Commands()) != 0 {
		t.Errorf("it was run all the same")
	}
}
