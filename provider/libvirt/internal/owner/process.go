package owner

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
)

// Process identifies the process that owns a clone. It is part of the names and the
// metadata of what the process creates, so that other processes can determine whether
// it has ended.
type Process struct {
	Host    string // name of the machine, for messages
	Machine string // digest of the host name, the boot of the kernel and the PID namespace
	PID     int
	Started uint64 // start time in clock ticks since boot, see proc_pid_stat(5): PIDs are reused
	Random  string // that the process has announced; "" if unknown, as in names
	Run     string // the same for all processes of a parallel run, which have one parent
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
	o := Process{Host: host, Machine: machineDigest(host, string(boot), space), PID: os.Getpid()}
	// Without proc(5), the start time is unknown: the state of such an owner is too.
	o.Started, _ = processStart(o.PID)
	parent := os.Getppid()
	since, _ := processStart(parent)
	o.Run = digest(fmt.Sprint(o.Machine, parent, since), runDigits)
	return o
})

// Announced is this process, which has announced itself: other processes can see its
// end. It is called by a process that is about to create something.
func Announced() Process {
	o := Self()
	o.Random, _ = announced()
	return o
}

// announced announces a random value for this process, and keeps the file locked until
// the process ends. Machines that were restored from one snapshot have the same processes
// as far as /proc shows them, but not the same announcements. The value is "" if that
// fails: other processes then see only the PID.
var announced = sync.OnceValues(func() (string, *os.File) {
	dir, err := filelock.Dir()
	if err != nil {
		return "", nil
	}
	random := rand.Text()
	file, err := filelock.Announce(dir, announcementPrefix+random)
	if err != nil {
		return "", nil
	}
	return random, file
})

// Lengths of digests. A name has less room for one than the metadata.
const (
	machineDigits       = 32
	machineDigitsInName = 16
	runDigits           = 8
)

// machineDigest returns the digest of a machine, or zeros if processes of another machine
// could have the same.
func machineDigest(host, boot, pidNamespace string) string {
	if strings.TrimSpace(boot) == "" || pidNamespace == "" {
		return strings.Repeat("0", machineDigits)
	}
	return digest(strings.Join([]string{host, strings.TrimSpace(boot), pidNamespace}, "\x00"), machineDigits)
}

// digest returns the first digits of a hash.
func digest(text string, digits int) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:digits]
}

const announcementPrefix = "owner-"

// announcementMemory is how long the end of a process can be seen.
const announcementMemory = 30 * 24 * time.Hour

// ForgetEnded removes the announcements of processes that ended long ago. It ignores
// errors: an announcement that stays does no harm.
func ForgetEnded() {
	if dir, err := filelock.Dir(); err == nil {
		_ = filelock.RemoveAnnounced(dir, announcementMemory)
	}
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
		return 0, fmt.Errorf("/proc/%d/stat is truncated", pid)
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return 0, syscall.ESRCH
	}
	return strconv.ParseUint(fields[starttime], 10, 64)
}

// State returns whether the process still runs, as seen by the process from. It is
// Unknown unless both have one kernel and one PID namespace. A process that has announced
// itself is Gone only if it did so on this machine.
func (o Process) State(from Process) State {
	if !o.isOn(from.Machine) || o.Started == 0 {
		return Unknown
	}
	state := o.stateOfPID()
	if o.Random == "" {
		return state
	}
	dir, err := filelock.Dir()
	if err != nil {
		return Unknown
	}
	switch runs, known := filelock.IsAnnounced(dir, announcementPrefix+o.Random); {
	case known && runs:
		return Alive
	case known, state == Alive:
		return state
	}
	return Unknown
}

// Is reports whether two identify the same process. One may be of a name, which has less of it.
func (o Process) Is(other Process) bool {
	return o.isOn(other.Machine) && o.PID == other.PID && o.Started == other.Started && o.Started != 0 &&
		(o.Random == "" || other.Random == "" || o.Random == other.Random)
}

// isOn reports whether the process is on a machine. A name has only a part of the digest.
func (o Process) isOn(machine string) bool {
	digits := min(len(o.Machine), len(machine))
	return digits >= machineDigitsInName && strings.Trim(machine, "0") != "" && o.Machine[:digits] == machine[:digits]
}

// stateOfPID returns the state as /proc shows it.
func (o Process) stateOfPID() State {
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
