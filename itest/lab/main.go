//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

// The roles that the executable plays, by the name it is started under.
const (
	initName   = "lab-init"
	keeperName = "lab-keeper"
)

const usage = `usage: lab CMD ARGS...

Runs CMD beside a private libvirt with real guests and exits with its exit code.
Needs root on a Debian-like Linux. go doc ./itest/lab tells the rest.
`

// Exit codes of the lab itself, apart from CMD's, after those of the shell and env(1).
const (
	exitLab         = 125 // the lab could not be set up
	exitNotRunnable = 126 // CMD could not be started
	exitNotFound    = 127 // there is no CMD
)

func main() {
	// Namespaces and the death signal belong to threads: stay on the first,
	// which lives as long as the process.
	runtime.LockOSThread()
	switch os.Args[0] {
	case initName:
		os.Exit(initMain())
	case keeperName:
		os.Exit(keeperMain())
	}
	if len(os.Args) < 2 || os.Args[1] == "-h" || os.Args[1] == "--help" || os.Args[1] == "help" {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	os.Exit(outerMain(os.Args[1:]))
}

// complain prints the one line with which the lab gives up.
func complain(err error) {
	fmt.Fprintf(os.Stderr, "lab: %v\n", err)
}
