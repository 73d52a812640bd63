package ssh_test

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

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/internal/ssh/sshtest"
)

// fakeSudo takes the options that sudo takes, asks for FAKE_PASSWORD if there
// is one, and tells the command by BECAME that it went this way.
const fakeSudo = `#!/bin/sh
echo "sudo: unable to resolve host" >&2
while :; do case $1 in
	-n) never=1; shift;;
	-u) user=$2; shift 2;;
	-p) prompt=$2; shift 2;;
	*) break;;
esac; done
if [ "$user" = stranger ]; then
	echo "Sorry, user tester is not allowed to execute '$*' as stranger." >&2; exit 1
fi
if [ -n "$FAKE_PASSWORD" ]; then
	[ -z "$never" ] || { echo "sudo: a password is required" >&2; exit 1; }
	for try in 1 2 3; do
		printf %s "$prompt"; read -r answer
		[ "$answer" != "$FAKE_PASSWORD" ] || break
		[ $try != 3 ] || exit 1
		echo "Sorry, try again."
	done
fi
BECAME=$user exec "$@"
`

// fakeSu asks in the machine's language, and ends after a wrong answer.
const fakeSu = `#!/bin/sh
printf 'Passwort: '; read -r answer
[ "$answer" = "$FAKE_PASSWORD" ] || { echo "su: Authentication failure"; exit 1; }
user=$1; shift
BECAME=$user exec /bin/sh "$@"
`

// elevator is a server whose sudo and su are the fake ones.
func elevator(t testing.TB, password string, more sshtest.Config) *sshtest.Server {
	t.Helper()
	bin := t.TempDir()
	for name, text := range map[string]string{"sudo": fakeSudo, "su": fakeSu} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	more.Env = append(more.Env, "PATH="+bin+":"+os.Getenv("PATH"), "FAKE_PASSWORD="+password)
	return sshtest.Start(t, more)
}

// elevate is the server's URL with a login password, though it is let in by
// key.
func elevate(server *sshtest.Server, password string, parameters ...string) string {
	u := server.URL(parameters...)
	if password == "" {
		return u
	}
	return strings.Replace(u, "tester@", "tester:"+password+"@", 1)
}

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
			server := elevator(t, tc.asks, sshtest.Config{})
			c := connect(t, elevate(server, tc.password, tc.parameters), nil)
			if got := run(t, c, `printf "%s" "$BECAME"; exit 3`); got != (ssh.Result{Stdout: "root", ExitCode: 3}) {
				t.Errorf("got %+v, want root and 3", got)
			}
			odd := `a'b"c $HOME \ ; exit 7`
			if got := run(t, c, "printf %s "+`'a'\''b"c $HOME \ ; exit 7'`); got.Stdout != odd || got.ExitCode != 0 {
				t.Errorf("quoting makes %q of %q", got.Stdout, odd)
			}
			if got := run(t, c, "cat"); got != (ssh.Result{}) {
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
	t.Run("as somebody", func(t *testing.T) {
		c := connect(t, elevator(t, "", sshtest.Config{}).URL("connectionType=SUDO", "sudoUsername=oracle"), nil)
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
			server := elevator(t, "hunter2", sshtest.Config{})
			c := connect(t, elevate(server, tc.password, tc.parameters), nil)
			_, err := c.Run(t.Context(), "touch ran")
			var e *ssh.ElevationError
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

func TestElevatedFiles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, parameters string
		without          bool
	}{
		{"sudo", "connectionType=SUDO", false},
		{"sudo as somebody", "connectionType=SUDO&sudoUsername=oracle", false},
		{"interactive sudo", "connectionType=INTERACTIVE_SUDO", false},
		{"interactive sudo without SFTP", "connectionType=INTERACTIVE_SUDO", true},
		{"su", "connectionType=SU", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			password := ""
			if !strings.Contains(tc.parameters, "=SUDO") {
				password = "hunter2"
			}
			server := elevator(t, password, sshtest.Config{NoSFTP: tc.without, Env: []string{"TMPDIR=" + tmp}})
			c := connect(t, elevate(server, password, tc.parameters), nil)
			thereAndBack(t, c, server.Dir)
			if left, _ := os.ReadDir(tmp); len(left) > 0 {
				t.Errorf("left behind in the temporary folder: %v", left)
			}
			elevated := 0
			for _, cmd := range server.Commands() {
				if strings.HasPrefix(cmd, "su") {
					elevated++
				}
			}
			if elevated == 0 {
				t.Error("nothing was done by sudo or su")
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
			server := elevator(t, tc.password, sshtest.Config{NoSignals: true})
			c := connect(t, elevate(server, tc.password, tc.parameters), nil)
			leavesNoProcess(t, c, server.Dir)
		})
	}
}

// leavesNoProcess cancels a command with a process in another session, which
// does not end with the command's. The server is this machine.
func leavesNoProcess(t *testing.T, c *ssh.Client, dir string) {
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
