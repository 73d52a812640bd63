//go:build linux

package outside

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestArgumentsStreamsAndExitCodeAreTheCommands(t *testing.T) {
	t.Parallel()
	data := make([]byte, 8<<20)
	_, _ = rand.Read(data)
	long := strings.Repeat("long ", 20_000)
	args := []string{"", " ", "a b", "*", "$HOME", `"'\`, "--help", "-h", "--", "line\nbreak", "\xff\xfe is not UTF-8", long, long, long}
	const script = `printf '%s\0' "$@"; echo "end of arguments"; tee /dev/stderr; exit 3`
	l, code := run(t, how{stdin: bytes.NewReader(data)}, append([]string{"sh", "-c", script, "sh"}, args...)...)
	assert.Equal(t, 3, code)
	got, out, _ := strings.Cut(l.out.String(), "\x00end of arguments\n")
	assert.Equal(t, args, strings.Split(got, "\x00"))
	// assert.Equal would print all of it.
	assert.True(t, out == string(data), "standard output differs from standard input")
	said, errors, _ := strings.Cut(l.errors.String(), "lab: ready after")
	_, errors, _ = strings.Cut(errors, "\n")
	assert.True(t, errors == string(data), "standard error differs from standard input, after\n%s", said)
}

func TestNoSuchCommand(t *testing.T) {
	t.Parallel()
	l, code := run(t, how{}, "/no/such/command")
	assert.Equal(t, 127, code)
	assert.Regexp(t, "^lab: starting /no/such/command: [^\n]*\n$", l.errors.String(), "and no lab is made for it")
}

func TestCommandThatIsNotExecutable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o644))
	l, code := run(t, how{}, path)
	assert.Equal(t, 126, code)
	assert.Regexp(t, "^lab: starting "+path+": [^\n]*\n$", l.errors.String())
}

func TestSignalsReachTheCommandOnce(t *testing.T) {
	t.Parallel()
	const script = `
		for name in HUP INT QUIT USR1 USR2; do trap "echo got $name" $name; done
		trap 'echo got TERM; exit 7' TERM
		sleep 1000 &
		echo up
		while :; do wait; done`
	l := start(t, how{}, "sh", "-c", script)
	l.says(t, l.out, "up\n")
	want := "up\n"
	for _, s := range []struct {
		name   string
		signal syscall.Signal
	}{
		{"HUP", syscall.SIGHUP}, {"USR1", syscall.SIGUSR1}, {"INT", syscall.SIGINT},
		{"USR2", syscall.SIGUSR2}, {"QUIT", syscall.SIGQUIT}, {"TERM", syscall.SIGTERM},
	} {
		l.signal(t, s.signal)
		l.says(t, l.out, "got "+s.name+"\n")
		want += "got " + s.name + "\n"
	}
	assert.Equal(t, 7, l.exitCode(t))
	assert.Equal(t, want, l.out.String())
}

func TestSignalsOfTheKeyboardReachWhatTheCommandStarted(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]syscall.Signal{"INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := start(t, how{}, "sh", "-c", `trap : `+name+`
				sh -c 'trap "echo inner got it; exit" `+name+`; echo up; while :; do sleep 0.1; done'
				exit 5`)
			l.says(t, l.out, "up\n")
			l.signal(t, s)
			assert.Equal(t, 5, l.exitCode(t))
			assert.Equal(t, "up\ninner got it\n", l.out.String())
		})
	}
}

func TestSignalBeforeThereIsACommandEndsTheLab(t *testing.T) {
	t.Parallel()
	l := start(t, how{}, "echo", "started all the same")
	l.says(t, l.errors, "lab: starting libvirt")
	l.signal(t, syscall.SIGTERM)
	assert.Equal(t, 128+15, l.exitCode(t))
	assert.Empty(t, l.out.String())
	assert.Contains(t, l.errors.String(), "lab: stopped by terminated")
}
