//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// watchCallers answers with a channel that is closed when a process that only
// exists to run this lab has ended: go, make, and shells between them. A make
// or a "go run" that is killed with SIGKILL cannot pass that on.
func watchCallers() (<-chan struct{}, error) {
	orphaned := make(chan struct{})
	var fds []unix.PollFd
	for _, pid := range callers(os.Getppid(), processInfo) {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH {
			close(orphaned)
			return orphaned, nil
		}
		if err != nil {
			return nil, fmt.Errorf("watching process %d, which started the lab: %w", pid, err)
		}
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if len(fds) == 0 {
		return orphaned, nil
	}
	// The goroutine lives as long as the process does.
	go func() {
		for {
			n, err := unix.Poll(fds, -1)
			if n > 0 {
				close(orphaned)
				return
			}
			if err != nil && err != unix.EINTR {
				return
			}
		}
	}()
	return orphaned, nil
}

// callers walks up from pid through make, go and shells, and leaves out the
// shells at the top: those are people's.
func callers(pid int, info func(pid int) (name string, parent int, err error)) []int {
	var chain []int
	known := 0 // how many of chain end in make or go
	for pid > 1 {
		name, parent, err := info(pid)
		if err != nil {
			break
		}
		chain = append(chain, pid)
		switch {
		case slices.Contains([]string{"go", "make", "gmake"}, name):
			known = len(chain)
		case !slices.Contains([]string{"sh", "dash", "bash"}, name):
			return chain[:known]
		}
		pid = parent
	}
	return chain[:known]
}

// processInfo reads a process's program and parent from /proc.
func processInfo(pid int) (name string, parent int, err error) {
	exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	if err != nil {
		return "", 0, err
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", 0, err
	}
	// proc(5): pid (comm) state ppid; comm may hold blanks and parentheses.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return "", 0, fmt.Errorf("/proc/%d/stat: %q", pid, stat)
	}
	parent, err = strconv.Atoi(fields[1])
	return filepath.Base(exe), parent, err
}
