//go:build linux

package outside

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pids lists the machine's processes.
func pids() []int {
	var list []int
	found, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range found {
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil {
			list = append(list, pid)
		}
	}
	return list
}

// marked lists the processes that have mark in the environment they were
// started with: the lab, what started it, and what they started.
func marked(mark string) []int {
	var list []int
	for _, pid := range pids() {
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if bytes.Contains(environment, []byte(mark+"\x00")) {
			list = append(list, pid)
		}
	}
	return list
}

// program is the name that a process was started under.
func program(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	name, _, _ := strings.Cut(string(line), "\x00")
	return name
}

// enterNamespace waits until the lab has a process namespace. No process can
// leave that, whatever it does to its environment, so everything that the lab
// started is found by it. It is held open, or its number might be given to
// the next lab on the machine.
func (l *lab) enterNamespace(t *testing.T) {
	t.Helper()
	if err := l.openNamespace(); err != nil {
		require.FailNow(t, err.Error())
	}
}

func (l *lab) openNamespace() error {
	missing := await(ready, func() []string {
		for _, pid := range marked(l.mark) {
			if program(pid) != "lab-init" {
				continue
			}
			if f, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil {
				l.namespace = f
				return nil
			}
		}
		select {
		case <-l.ended:
			return []string{final}
		default:
			return []string{"lab-init"}
		}
	})
	if len(missing) > 0 {
		return errors.New("the lab made no namespaces\n" + l.errors.String())
	}
	return nil
}

// inside lists the processes in the lab's namespace.
func (l *lab) inside() []int {
	want, err := l.namespace.Stat()
	if err != nil {
		return nil
	}
	var list []int
	for _, pid := range pids() {
		if got, err := os.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil && os.SameFile(want, got) {
			list = append(list, pid)
		}
	}
	return list
}

// processes describes all of the lab's, those in its namespaces and those
// that prepare them.
func (l *lab) processes() []string {
	list := marked(l.mark)
	if l.namespace != nil {
		list = append(list, l.inside()...)
	}
	var described []string
	for _, pid := range list {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		described = append(described, fmt.Sprintf("process %d: %s", pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	}
	return described
}
