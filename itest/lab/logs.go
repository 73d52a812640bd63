//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// logDir is where daemons' output goes, each to a log of its name.
const logDir = labDir + "/log"

// libvirtdLog is what libvirtd writes by itself (files/libvirtd.conf).
const libvirtdLog = "libvirtd-warnings.log"

// logTail is how many lines of a log are shown when something fails.
const logTail = 20

// harmless are lines that a libvirtd in the lab always writes: there is no
// D-Bus, udev, /dev/mem or control group here, and there need not be.
var harmless = regexp.MustCompile(` info : |system bus|DMI data|DMIData|dmidecode|security driver "none"|End of file while reading data|/sys/fs/cgroup|cgroup controller is required`)

// showLogs prints the end of those logs that have something to say.
func showLogs(w io.Writer, names []string, cause error) {
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(logDir, name))
		if err != nil {
			continue
		}
		if lines := telling(string(text)); len(lines) > 0 {
			fmt.Fprintf(w, "lab: end of %s:\n    %s\n", name, strings.Join(lines, "\n    "))
		}
	}
	if errors.Is(cause, os.ErrPermission) {
		fmt.Fprintln(w, "lab: in a container, run it with --privileged")
	}
}

// telling answers with the last lines of a log that are not harmless.
func telling(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) != "" && !harmless.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-logTail):]
}

// step says what is being done, and how long it took once it is done.
func step(name string, do func() error) error {
	done := begin(name)
	err := do()
	done(err)
	return err
}

// begin says what is being done; the function that it returns ends the line.
func begin(name string) (done func(error)) {
	start := time.Now()
	fmt.Fprintf(os.Stderr, "lab: %s ...", name)
	return func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, " failed")
			return
		}
		fmt.Fprintf(os.Stderr, " %.1fs\n", time.Since(start).Seconds())
	}
}
