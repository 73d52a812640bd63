package guard

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// init waits in a guard process until its parent releases it or ends. Released, it ends the
// process.
func init() {
	if !isGuard() {
		return
	}
	become()
	shrink()
	_ = os.WriteFile("/proc/self/comm", []byte(name), 0) // for ps; tests wait for it
	lines, err := read(os.Stdin)
	if err != nil || slices.Contains(lines, released) {
		Exit()
	}
	orphaned, orphan = lines, true
}

var (
	orphaned []string // lines of the parent
	orphan   bool
)

// Orphaned returns the lines of a parent that has ended, without repetitions. ok is false if
// this process is no guard.
func Orphaned() (lines []string, ok bool) { return orphaned, orphan }

// Exit ends a guard process at once. os.Exit would wait for a second with the race detector.
func Exit() { syscall.Exit(0) }

// isGuard reports whether this process was started as a guard.
func isGuard() bool {
	value := os.Getenv(variable)
	if value == "" {
		return false
	}
	inode, err := inodeOf(os.Stdin)
	return err == nil && value == strconv.FormatUint(inode, 10)
}

// become makes this process independent of how its parent was started.
func become() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	_ = os.Unsetenv(variable)
	closeInherited()
}

// closeInherited closes the files that the parent has inherited and not marked to be closed,
// such as the pipe of a shell. Other processes wait for the end of a pipe.
func closeInherited() {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, text := range names {
		fd, err := strconv.Atoi(text)
		if err != nil || fd <= 2 {
			continue
		}
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			_ = syscall.Close(fd)
		}
	}
}

// read reads lines until the pipe ends. A line that is not complete was being written when
// the parent ended, and is ignored.
func read(pipe io.Reader) ([]string, error) {
	text, err := io.ReadAll(pipe)
	if err != nil {
		return nil, fmt.Errorf("reading from the parent: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	lines = lines[:len(lines)-1]
	slices.Sort(lines)
	return slices.Compact(lines), nil
}
