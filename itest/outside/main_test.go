//go:build linux

// Package outside tests the lab from outside: what it does to its command, and
// what it does, or rather does not do, to the machine.
//
//	go test ./itest/outside    (as root; make lab-test runs it)
//
// Most tests start labs of their own and some kill them. Those that only look
// at a lab share one (session_test.go). Tests that judge what is left behind
// run their labs on a tray, which catches everything that is written outside
// of the lab's own mounts (overlay_test.go).
package outside

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

var (
	labBinary  string // built by TestMain
	repository string // the folder of go.mod
)

// The main thread stands for the process in /proc/self: keep it from tests that
// move a thread into a lab (login).
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if os.Geteuid() != 0 || os.Getenv("LAB_CONF") != "" {
		fmt.Fprintln(os.Stderr, "these tests start labs: run them as root and not in a lab, as make lab-test does")
		return 1
	}
	dir, err := os.MkdirTemp("", "lab-outside-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := buildLab(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// The guest is built before tests that start many labs at once.
	if out, err := exec.Command(labBinary, "true").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "no lab can be started: %v\n%s", err, out)
		return 1
	}
	before := lookAtMachine("/proc/self")
	code := m.Run()
	if err := endSession(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if left := await(gone, func() []string { return lookAtMachine("/proc/self").since(before) }); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "left on the machine after all labs:", left)
		return 1
	}
	return code
}

// buildLab builds the lab where other accounts can run it, too.
func buildLab(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	var err error
	if repository, err = filepath.Abs("../.."); err != nil {
		return err
	}
	labBinary = filepath.Join(dir, "lab")
	out, err := exec.Command("go", "build", "-o", labBinary, "../lab").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the lab: %w\n%s", err, out)
	}
	return nil
}
