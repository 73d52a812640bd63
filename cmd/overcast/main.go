package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/overcast-go/overcast/internal/ssh"
	_ "github.com/overcast-go/overcast/provider/libvirt"
)

const usage = `usage: overcast config [--json] [FILE | LABEL]
       overcast ls [--json] [-c URL]...
       overcast gc [--dry-run] [-c URL]...
       overcast doctor [LABEL]

config   print the resolved configuration: all of it, one FILE, or the host LABEL
ls       list what overcast has made on the hypervisors of the configuration, or at URL
gc       remove what of that no living run owns, kept clones included
doctor   check what the host LABEL relies on, or every host, and say how to mend it
`

// errUsage is a command line that makes no sense.
var errUsage = errors.New("usage")

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program, apart from the process that it runs in.
func run(args []string, stdout, stderr io.Writer) int {
	err := dispatch(args, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprint(stderr, usage)
		return 2
	}
	shown, _ := ssh.Redact(err.Error()) // it may repeat what was given
	fmt.Fprintln(stderr, shown)
	return 1
}

func dispatch(args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	switch command, rest := args[0], args[1:]; command {
	case "config":
		return configCommand(rest, stdout, stderr)
	case "ls":
		return lsCommand(rest, stdout)
	case "gc":
		return gcCommand(rest, stdout)
	case "doctor":
		return doctorCommand(rest, stdout)
	}
	return errUsage
}
