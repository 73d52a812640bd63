package owner

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Process identifies the process that owns a clone. It is part of the names and the
// metadata of what the process creates, so that other processes can determine whether
// it has ended.
type Process struct {
	Host         string // name of the machine, for messages
	Boot         string // identifies a boot of a kernel
	PIDNamespace string // identifies a PID namespace of the kernel
	PID          int
	Started      uint64 // start time in clock ticks since boot, see proc_pid_stat(5): PIDs are reused
	Run          string // the same for all processes of a parallel run, which have one parent
}

// State is the state of an owner as this process can determine it.
type State int

// States of an owner.
const (
	Unknown State = iota // it is on another machine or in another PID namespace
	Alive
	Gone
)

// String returns "unknown", "alive" or "gone".
func (f State) String() string { return [...]string{"unknown", "alive", "gone"}[f] }

// Self is this process.
var Self = sync.OnceValue(func() Process {
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	o := Process{Host: host, Boot: digest(string(boot), 8), PIDNamespace: digest(space, 4), PID: os.Getpid()}
	// Without proc(5), the start time is unknown: the state of such an owner is too.
	o.Started, _ = processStart(o.PID)
	parent := os.Getppid()
	since, _ := processStart(parent)
	o.Run = digest(fmt.Sprint(o.Boot, o.PIDNamespace, parent, since), 8)
	return o
})

// digest returns the first digits of a hash, or zeros for an empty text.
func digest(text string, digits int) string {
	if strings.TrimSpace(text) == "" {
		return strings.Repeat("0", digits)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:digits]
}

// processStart returns when a process started, in clock ticks since boot. It fails
// with ESRCH for a zombie.
func processStart(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// pid (comm) state ppid ...: comm may contain blanks and parentheses.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const starttime = 22 - 3 // index of the field after state
	if len(fields) <= starttime {
		return 0, fmt.Errorf("/proc/%d/stat is cut short", pid)
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return 0, syscall.ESRCH
	}
	return strconv.ParseUint(fields[starttime], 10, 64)
}

// State returns whether the process still runs, as seen by the process from. It is
// Unknown unless both have one kernel and one PID namespace.
func (o Process) State(from Process) State {
	known := strings.Trim(from.Boot, "0") != "" && strings.Trim(from.PIDNamespace, "0") != "" && o.Started != 0
	if !known || o.Boot != from.Boot || o.PIDNamespace != from.PIDNamespace {
		return Unknown
	}
	if err := syscall.Kill(o.PID, 0); errors.Is(err, syscall.ESRCH) {
		return Gone
	}
	started, err := processStart(o.PID)
	switch {
	case errors.Is(err, syscall.ESRCH), errors.Is(err, os.ErrNotExist) && errors.Is(syscall.Kill(o.PID, 0), syscall.ESRCH):
		return Gone // also if it ended between the two checks
	case err != nil:
		return Alive // it exists, but this process may not read it
	case started != o.Started:
		return Gone // another process has its PID
	}
	return Alive
}

// String names the process and its machine.
func (o Process) String() string { return fmt.Sprintf("process %d on %s", o.PID, o.Host) }
