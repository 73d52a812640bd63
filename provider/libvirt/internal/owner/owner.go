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

// owner is the process that a clone belongs to. Names and metadata of what it
// makes carry it, so that anybody can tell later whether it has ended.
type Process struct {
	Host    string // name of the machine, for people
	Boot    string // tells one start of one kernel from every other
	Space   string // tells the PID namespaces of a kernel apart: PIDs mean something within one only
	PID     int
	Started uint64 // in clock ticks since that start, as proc_pid_stat(5) has it: PIDs come back
	Run     string // the same for all processes of a parallel run: they have one parent
}

// fate is what can be known of an owner from here.
type fate int

const (
	Unknown fate = iota // on another machine, or where this process sees no PIDs
	Alive
	Gone
)

func (f fate) String() string { return [...]string{"unknown", "alive", "gone"}[f] }

// self is this process.
var Self = sync.OnceValue(func() Process {
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, _ := os.Readlink("/proc/self/ns/pid")
	o := Process{Host: host, Boot: digest(string(boot), 8), Space: digest(space, 4), PID: os.Getpid()}
	// Where there is no proc(5), the start is unknown: nobody takes such an
	// owner for gone by its PID.
	o.Started, _ = processStart(o.PID)
	parent := os.Getppid()
	since, _ := processStart(parent)
	o.Run = digest(fmt.Sprint(o.Boot, o.Space, parent, since), 8)
	return o
})

// digest is the first digits of a hash, or zeros for what is not known.
func digest(text string, digits int) string {
	if strings.TrimSpace(text) == "" {
		return strings.Repeat("0", digits)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:digits]
}

// processStart is when a process started, in clock ticks since the kernel did.
// One that has ended, and that its parent has not asked after yet, is gone.
func processStart(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// pid (comm) state ppid ...: comm may hold blanks and parentheses.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const starttime = 22 - 3 // its field, counted from the state on
	if len(fields) <= starttime {
		return 0, fmt.Errorf("/proc/%d/stat is cut short", pid)
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return 0, syscall.ESRCH
	}
	return strconv.ParseUint(fields[starttime], 10, 64)
}

// fate says whether the owner still runs, as far as from can tell: only a
// process of the same kernel and PID namespace can. What cannot be proved is
// unknown.
func (o Process) State(from Process) fate {
	known := strings.Trim(from.Boot, "0") != "" && strings.Trim(from.Space, "0") != "" && o.Started != 0
	if !known || o.Boot != from.Boot || o.Space != from.Space {
		return Unknown
	}
	if err := syscall.Kill(o.PID, 0); errors.Is(err, syscall.ESRCH) {
		return Gone
	}
	started, err := processStart(o.PID)
	switch {
	case errors.Is(err, syscall.ESRCH), errors.Is(err, os.ErrNotExist) && errors.Is(syscall.Kill(o.PID, 0), syscall.ESRCH):
		return Gone // also if it ended between the two looks
	case err != nil:
		return Alive // it is there, but hidden from us
	case started != o.Started:
		return Gone // another process has its PID
	}
	return Alive
}

// String tells people whose process it is.
func (o Process) String() string { return fmt.Sprintf("process %d on %s", o.PID, o.Host) }
