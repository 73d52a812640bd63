package sshclient_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
)

func TestElevatedRun(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, asks, password, parameters string }{
		{"sudo", "", "", "connectionType=SUDO"},
		{"sudo on a terminal", "", "", "connectionType=SUDO&allocatePty=true"},
		{"interactive sudo", "hunter2", "hunter2", "connectionType=INTERACTIVE_SUDO"},
		{"interactive sudo that does not ask", "", "hunter2", "connectionType=INTERACTIVE_SUDO"},
		{"su", "hunter2", "hunter2", "connectionType=SU"},
		{"su with a password of its own", "hunter2", "other", "connectionType=SU&suPassword=hunter2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := sshtest.StartElevator(t, tc.asks, sshtest.Config{})
			c := connect(t, server.URLWithPassword(tc.password, tc.parameters), nil)
			if got := run(t, c, `printf "%s" "$BECAME"; exit 3`); got != (sshclient.Result{Stdout: "root", ExitCode: 3}) {
				t.Errorf("got %+v, want root and 3", got)
			}
			odd := `a'b"c $HOME \ ; exit 7`
			if got := run(t, c, "printf %s "+`'a'\''b"c $HOME \ ; exit 7'`); got.Stdout != odd || got.ExitCode != 0 {
				t.Errorf("quoting makes %q of %q", got.Stdout, odd)
			}
			if got := run(t, c, "cat"); got != (sshclient.Result{}) {
				t.Errorf("standard input is not empty: %+v", got)
			}
			if got := run(t, c, "if"); got.ExitCode == 0 {
				t.Errorf("a syntax error gives %+v", got)
			}
			for _, cmd := range server.Commands() {
				if strings.Contains(cmd, "hunter2") {
					t.Errorf("the password is in the command line %q", cmd)
				}
			}
		})
	}
	t.Run("as another user", func(t *testing.T) {
		c := connect(t, sshtest.StartElevator(t, "", sshtest.Config{}).URL("connectionType=SUDO", "sudoUsername=oracle"), nil)
		if got := run(t, c, `echo "$BECAME"; echo oops >&2`); got.Stdout != "oracle\n" || got.Stderr != "oops\n" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestElevationRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, password, parameters, reason, said string }{
		{"sudo needs a password", "", "connectionType=SUDO", "refused", "a password is required"},
		{"sudo does not allow it", "", "connectionType=SUDO&sudoUsername=stranger", "refused", "not allowed to execute"},
		{"interactive sudo does not allow it", "hunter2", "connectionType=INTERACTIVE_SUDO&sudoUsername=stranger", "refused", "not allowed"},
		{"a wrong password for sudo", "hunter3", "connectionType=INTERACTIVE_SUDO", "the password is refused", "try again"},
		{"no password for sudo", "", "connectionType=INTERACTIVE_SUDO", "a password is asked for, and the URL has none", ""},
		{"a wrong password for su", "hunter3", "connectionType=SU", "refused", "Authentication failure"},
		{"no password for su", "", "connectionType=SU", "a password is asked for, and the URL has none", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := sshtest.StartElevator(t, "hunter2", sshtest.Config{})
			c := connect(t, server.URLWithPassword(tc.password, tc.parameters), nil)
			_, err := c.Run(t.Context(), "touch ran")
			var e *sshclient.ElevationError
			if !errors.As(err, &e) || e.Reason != tc.reason || !strings.Contains(e.Output, tc.said) {
				t.Fatalf("got %v, want an ElevationError: %s, %s", err, tc.reason, tc.said)
			}
			if _, err := os.Stat(filepath.Join(server.Dir, "ran")); err == nil {
				t.Error("the command was run all the same")
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

// By sudo and su, no signal of the server reaches the command.
func TestElevatedRunLeavesNoProcess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, password, parameters string }{
		{"sudo", "", "connectionType=SUDO"},
		{"interactive sudo", "hunter2", "connectionType=INTERACTIVE_SUDO"},
		{"su", "hunter2", "connectionType=SU"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := sshtest.StartElevator(t, tc.password, sshtest.Config{NoSignals: true})
			c := connect(t, server.URLWithPassword(tc.password, tc.parameters), nil)
			leavesNoProcess(t, c, server.Dir)
		})
	}
}

// leavesNoProcess cancels a command with a process in another session, which
// does not end with the command's. The server is this machine.
func leavesNoProcess(t *testing.T, c *sshclient.Client, dir string) {
	t.Helper()
	pipe := fifo(t, dir, "started")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		os.ReadFile(pipe) // until the command has opened it
		cancel(errors.New("enough"))
	}()
	id := fmt.Sprint(int(1e9) + rand.IntN(1e9))
	_, err := c.Run(ctx, "setsid sleep "+id+" & echo >"+pipe+"; wait")
	if err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("got %v, want the cause of the context", err)
	}
	eventually(t, "the process has ended", func() bool {
		lines, err := exec.Command("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null; :").Output()
		return err == nil && !strings.Contains(string(lines), id)
	})
}
