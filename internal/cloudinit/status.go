package cloudinit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/internal/printable"
)

// logMarker separates the output of cloud-init status from the end of its log.
const logMarker = "---- /var/log/cloud-init-output.log"

// logLines is how many lines of the log [WaitCommand] prints.
const logLines = 40

// notInstalled is the exit code of a shell for a command that does not exist.
const notInstalled = 127

// WaitCommand is a command for a POSIX shell that waits until cloud-init has
// finished, without a timeout of its own. [ParseStatus] interprets its output and
// exit code. If cloud-init failed, it prints the last lines of its log, with sudo
// if the user may not read it.
const WaitCommand = `PATH=$PATH:/usr/local/bin:/usr/bin:/bin
command -v cloud-init >/dev/null 2>&1 || { echo 'cloud-init: not found'; exit 127; }
LC_ALL=C cloud-init status --wait --long 2>&1; code=$?
[ $code = 0 ] || {
	echo '` + logMarker + `'
	log=/var/log/cloud-init-output.log
	tail -n 40 $log 2>/dev/null || sudo -n tail -n 40 $log 2>/dev/null
}
exit $code`

// State is how cloud-init ended.
type State string

const (
	// Done means without errors.
	Done State = "done"
	// Degraded means that cloud-init recovered from errors. Only version 23.4 and
	// later report it.
	Degraded State = "degraded"
	// Failed means that cloud-init reports an error.
	Failed State = "error"
	// Disabled means that cloud-init did not run: it found no seed, or is turned
	// off in the image.
	Disabled State = "disabled"
	// NotInstalled means that the image has no cloud-init.
	NotInstalled State = "not installed"
	// Unknown means that the output is not that of cloud-init.
	Unknown State = "unknown"
)

// Status is the result of [WaitCommand].
type Status struct {
	State State
	// Problems are the errors that cloud-init reports, or why it is disabled.
	Problems []string
	// Log is the end of /var/log/cloud-init-output.log. It is empty if cloud-init
	// is Done.
	Log string
	// ExitCode is that of the command.
	ExitCode int
}

// A StatusError reports that cloud-init did not configure the clone.
type StatusError struct{ Status Status }

// hints say what to do about a state.
var hints = map[State]string{
	Failed:       "cloud-init failed",
	Disabled:     "cloud-init did not run: check that the image enables it and its datasource NoCloud",
	NotInstalled: "cloud-init is not installed in the image: use a cloud image, or set cloudInit.wait = false",
	Unknown:      "unexpected output of cloud-init status",
}

func (e *StatusError) Error() string {
	text := "waiting for cloud-init: " + hints[e.Status.State]
	if e.Status.State == Unknown {
		text += fmt.Sprintf(" (exit code %d)", e.Status.ExitCode)
	}
	if len(e.Status.Problems) > 0 {
		text += ": " + strings.Join(e.Status.Problems, "; ")
	}
	if e.Status.Log != "" {
		text += "\nlast lines of /var/log/cloud-init-output.log:\n" + e.Status.Log
	}
	return text
}

// Err returns nil if cloud-init is Done or Degraded, and otherwise a
// [*StatusError].
func (s Status) Err() error {
	if s.State == Done || s.State == Degraded {
		return nil
	}
	return &StatusError{s}
}

// Exit codes of cloud-init status: 2 since version 23.4, with status: done.
const (
	exitDone     = 0
	exitDegraded = 2
)

// ParseStatus interprets the exit code and output of [WaitCommand].
func ParseStatus(exitCode int, output string) Status {
	output, log, _ := strings.Cut(output, logMarker)
	output = printable.Excerpt(output)
	s := Status{State: Unknown, Log: strings.Join(printable.LastLines(log, logLines), "\n"), ExitCode: exitCode}
	found := sections(output)
	switch status := strings.Join(found["status"], " "); {
	case exitCode == notInstalled:
		s.State = NotInstalled
	case status == "error":
		s.State = Failed
		if s.Problems = found["errors"]; len(s.Problems) == 0 {
			s.Problems = found["detail"]
		}
	case status == "disabled":
		s.State, s.Problems = Disabled, found["detail"]
	case status == "done" && exitCode == exitDone:
		s.State = Done
	case status == "done" && exitCode == exitDegraded:
		s.State, s.Problems = Degraded, found["recoverable_errors"]
	default:
		s.Problems = slices.DeleteFunc([]string{strings.TrimSpace(output)}, func(text string) bool { return text == "" })
	}
	return s
}

var (
	sectionStart = regexp.MustCompile(`^\.*(status|extended_status|boot_status_code|last_update|time|detail|errors|recoverable_errors):(.*)$`)
	logLevel     = regexp.MustCompile(`^[A-Z]+:$`)
)

// sections returns the lines of each section of cloud-init status --long, without
// bullets, log levels and empty lists.
func sections(output string) map[string][]string {
	found := map[string][]string{}
	name := ""
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		if start := sectionStart.FindStringSubmatch(line); start != nil {
			name, line = start[1], start[2]
		}
		line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
		if name != "" && line != "" && line != "[]" && line != "{}" && !logLevel.MatchString(line) {
			found[name] = append(found[name], line)
		}
	}
	return found
}
