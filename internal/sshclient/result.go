package sshclient

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"

	xssh "golang.org/x/crypto/ssh"
)

// A Result is what a command has printed, and how it has ended.
type Result struct {
	Stdout string
	Stderr string // empty on a terminal, which has only one stream
	// ExitCode is the exit code, or 128+n for a command that signal n ended. It
	// is 128 where the server does not report which signal it was: OpenSSH
	// reports ABRT, ALRM, FPE, HUP, ILL, INT, KILL, PIPE, QUIT, SEGV, TERM, USR1
	// and USR2, dropbear before 2025 the same, and later all but real-time
	// signals. This is about the shell itself: a command that a signal ended
	// within the shell has the exit code that the shell gives it, 128+n.
	ExitCode int
	// Signal is the name of that signal without SIG, as in "KILL", or "unknown".
	// It is empty if no signal ended the shell.
	Signal string
}

type status struct {
	code   int
	signal string
}

// unknownSignal is [Result.Signal] where the server does not report which
// signal it was.
const unknownSignal = "unknown"

// signalNumbers are the signals of Linux that servers name: OpenSSH the first
// 13 of them, dropbear since 2025 all that have a name.
var signalNumbers = map[string]int{
	"ABRT": 6, "ALRM": 14, "FPE": 8, "HUP": 1, "ILL": 4, "INT": 2, "KILL": 9, "PIPE": 13, "QUIT": 3, "SEGV": 11,
	"TERM": 15, "USR1": 10, "USR2": 12,
	"TRAP": 5, "BUS": 7, "STKFLT": 16, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31,
}

// exitStatus reads how a command has ended. For a signal that they have no name
// for, OpenSSH sends the name SIG@openssh.com, and dropbear nothing.
func (s *session) exitStatus(err error) (status, error) {
	var exit *xssh.ExitError
	var silent *xssh.ExitMissingError
	switch {
	case errors.As(err, &silent) && strings.Contains(string(s.conn.ssh.ServerVersion()), "dropbear"):
		return status{128, unknownSignal}, nil
	case !errors.As(err, &exit):
		return status{}, err
	case exit.Signal() == "":
		return status{code: exit.ExitStatus()}, nil
	}
	if number, known := signalNumbers[exit.Signal()]; known {
		return status{128 + number, exit.Signal()}, nil
	}
	return status{128, unknownSignal}, nil
}

// output keeps what a command prints up to a bound on both streams together.
// It may still be written to after its command was given up.
type output struct {
	mu             sync.Mutex
	limit, left    int
	stdout, stderr bytes.Buffer
	full           chan error // gets an error when the bound is passed
}

func newOutput(limit int) *output {
	return &output{limit: limit, left: limit, full: make(chan error, 1)}
}

// stream is a writer onto one of the buffers.
func (o *output) stream(b *bytes.Buffer) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		kept := p[:min(len(p), o.left)]
		b.Write(kept)
		o.left -= len(kept)
		if len(kept) < len(p) {
			select {
			case o.full <- &OutputLimitError{o.limit}:
			default: // said already
			}
		}
		return len(p), nil // the rest is read and dropped, so that the command can end
	})
}

func (o *output) result() Result {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Result{Stdout: o.stdout.String(), Stderr: o.stderr.String()}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
