package sshclient_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/internal/sshclient/transfer"
	"github.com/stretchr/testify/assert"
)

// tracking are the options with which guests are used.
func tracking(t testing.TB) *sshclient.Options {
	opts := lonely(t)
	opts.TrackProcesses = true
	return opts
}

// shells are the login shells that this machine has.
func shells() []string {
	var found []string
	for _, name := range []string{"sh", "bash", "fish", "tcsh", "bsd-csh", "zsh", "mksh"} {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	return found
}

func TestOpenSSHRunsManyCommandsAtOnce(t *testing.T) {
	server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{})
	for _, user := range server.Users {
		for _, count := range []int{50, 500} {
			t.Run(fmt.Sprintf("%d as %s", count, user), func(t *testing.T) {
				runMany(t, connect(t, server.URL(user), tracking(t)), count)
			})
		}
	}
}

func TestOpenSSHLearnsALowerLimit(t *testing.T) {
	server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{Lines: []string{"MaxSessions 2"}})
	c := connect(t, server.URL(server.Users[0]), tracking(t))
	runMany(t, c, 50)
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			assert.NoError(t, transfer.Upload(t.Context(), c, "testdata/locked", fmt.Sprintf("copy-%d", i)))
		})
	}
	all.Wait()
}

// Commands that last until they are ended, and those whose syntax is only that
// of the Bourne shells. ID marks their processes.
var (
	lasting = []string{
		"sleep ID",
		"sh -c 'sleep ID; echo'",
		"sleep ID | cat",
		"env -i sleep ID",
		"exec env -i sleep ID",
		"setsid sleep ID",
	}
	lastingInBourne = []string{
		"sleep ID & wait",
		"(sleep ID)",
		"while true; do sleep ID; done",
		"while :; do :; done # ID",
		`trap "" TERM; sleep ID; sleep ID`,
		`env -i sh -c 'trap "" TERM; sleep ID; echo' & wait`,
		"(setsid nohup sleep ID >/dev/null 2>&1 &); sleep ID",
	}
)

// isBourne reports whether a shell has the syntax of the Bourne shell.
func isBourne(shell string) bool {
	return !strings.Contains(shell, "fish") && !strings.Contains(shell, "csh")
}

// commandLines returns the command lines of all processes.
func commandLines(t testing.TB, c *sshclient.Client) string {
	t.Helper()
	return run(t, c, "sh -c 'cat /proc/[0-9]*/cmdline 2>/dev/null; :'").Stdout
}

func TestOpenSSHLeavesNoProcess(t *testing.T) {
	for _, shell := range shells() {
		server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{Shell: shell})
		watcher := connect(t, server.URL(server.Users[0]), nil)
		for _, user := range server.Users {
			t.Run(filepath.Base(shell)+" of "+user, func(t *testing.T) {
				c := connect(t, server.URL(user), tracking(t))
				ctx, cancel := context.WithCancelCause(t.Context())
				ids := map[string]string{}
				var all sync.WaitGroup
				lines := lasting
				if isBourne(shell) {
					lines = append(slices.Clip(lines), lastingInBourne...)
				}
				for i, line := range lines {
					id := fmt.Sprint(int(1e9)*(i+1) + rand.IntN(1e9))
					ids[id] = line
					all.Go(func() {
						_, err := c.Run(ctx, strings.ReplaceAll(line, "ID", id))
						assert.ErrorContains(t, err, "enough")
					})
				}
				for id, line := range ids {
					eventually(t, line+" runs", func() bool { return strings.Contains(commandLines(t, watcher), id) })
				}
				cancel(errors.New("enough"))
				all.Wait()
				for id, line := range ids {
					eventually(t, line+" has ended", func() bool { return !strings.Contains(commandLines(t, watcher), id) })
				}
			})
		}
	}
}

// started is how many commands have written a line to a file.
func started(t testing.TB, c *sshclient.Client, file string) int {
	t.Helper()
	return strings.Count(run(t, c, "cat "+file+" 2>/dev/null").Stdout, "\n")
}

func TestOpenSSHLeavesNoProcessOfManyCommands(t *testing.T) {
	server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{})
	watcher := connect(t, server.URL(server.Users[0]), nil)
	for name, end := range map[string]func(c *sshclient.Client, cancel context.CancelFunc){
		"when their context ends": func(_ *sshclient.Client, cancel context.CancelFunc) { cancel() },
		"on Close":                func(c *sshclient.Client, _ context.CancelFunc) { assert.NoError(t, c.Close()) },
	} {
		for _, user := range server.Users {
			t.Run(name+", as "+user, func(t *testing.T) {
				c := connect(t, server.URL(user), tracking(t))
				id := fmt.Sprint(1e9 + rand.IntN(1e9))
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				for range 30 {
					all.Go(func() {
						_, err := c.Run(ctx, "echo started >>"+id+"; sleep "+id)
						assert.Error(t, err)
					})
				}
				eventually(t, "all run", func() bool { return started(t, watcher, id) == 30 })
				end(c, cancel)
				all.Wait()
				eventually(t, "all processes have ended", func() bool { return !strings.Contains(commandLines(t, watcher), id) })
			})
		}
	}
}

// texts are command lines that a prefix or a suffix could break.
var texts = []string{
	"", "true", "exit 3", "false", "echo hello; exit 7", "echo a # b", "# only a comment", "\necho line", "echo a;", "echo a &",
	"cat <<E\none\ntwo\nE", "cat <<'E'\n$HOME\nE\n", "if", "echo )", "fi", "&& true", "; true", "| cat", "'unfinished", "echo \\",
	`echo 'a'\''b' "c d" \$HOME`, `echo "$0"`, "no-such-command", "echo x\nno-such-command\necho y", "echo out; echo err >&2",
	"printf 't'", `printf 'test "$shell" && eva'`, "cat", "kill -TERM $$", "kill -USR1 $$", "(exit 5)", "set -e; false; echo no", "echo $?",
	"for i in 1 2; do\n\techo $i\ndone", "exec echo gone", "trap 'echo bye' EXIT; echo hi", "printf '%s\\n' one two | sort -r",
}

// varying are the process ID that csh prints, and the place that fish marks
// below a command line.
var varying = regexp.MustCompile(`(?m)^\[1\] \d+$|^ *[~^]+$`)

func TestOpenSSHTakesCommandsAsTheyAre(t *testing.T) {
	for _, shell := range shells() {
		server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{Shell: shell})
		plain := connect(t, server.URL(server.Users[0]), nil)
		tracked := connect(t, server.URL(server.Users[0]), tracking(t))
		for _, text := range texts {
			t.Run(fmt.Sprintf("%s: %q", filepath.Base(shell), text), func(t *testing.T) {
				want, got := run(t, plain, text), run(t, tracked, text)
				for _, r := range []*sshclient.Result{&want, &got} {
					r.Stdout, r.Stderr = varying.ReplaceAllString(r.Stdout, ""), varying.ReplaceAllString(r.Stderr, "")
				}
				assert.Equal(t, want, got)
			})
		}
	}
}

func TestOpenSSHReportsSignals(t *testing.T) {
	server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{})
	c := connect(t, server.URL(server.Users[0]), tracking(t))
	for signal, want := range map[string]sshclient.Result{
		"HUP":  {ExitCode: 129, Signal: "HUP"},
		"KILL": {ExitCode: 137, Signal: "KILL"},
		"TERM": {ExitCode: 143, Signal: "TERM"},
		"USR1": {ExitCode: 138, Signal: "USR1"},
		"USR2": {ExitCode: 140, Signal: "USR2"},
		"BUS":  {ExitCode: 128, Signal: "unknown"},
		"34":   {ExitCode: 128, Signal: "unknown"},
	} {
		assert.Equal(t, want, run(t, c, "kill -"+signal+" $$"), signal)
	}
	// A shell that does not end itself reports the number.
	assert.Equal(t, 162, run(t, c, "sh -c 'kill -34 $$'; exit $?").ExitCode)
}

// BenchmarkMemoryOfCommands reports how much memory a command takes while it
// runs, and while it waits for a session.
func BenchmarkMemoryOfCommands(b *testing.B) {
	server := sshtest.StartOpenSSH(b, sshtest.OpenSSHConfig{})
	for _, count := range []int{10, 90, 500} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for b.Loop() {
				c := connect(b, server.URL(server.Users[0]), tracking(b))
				run(b, c, "true")
				before := memory()
				ctx, cancel := context.WithCancel(b.Context())
				var all sync.WaitGroup
				for range count {
					all.Go(func() { c.Run(ctx, "echo started >>counter; sleep 600") })
				}
				running := min(count, 90)
				eventually(b, "they run", func() bool { return sshclient.Waiting(c) == count-running && sshclient.Open(c) == running })
				b.ReportMetric(float64(memory()-before)/1024/float64(count), "KB/command")
				cancel()
				all.Wait()
				c.Close()
			}
		})
	}
}

func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
