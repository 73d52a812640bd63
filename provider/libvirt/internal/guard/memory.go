package guard

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// shrink returns memory that a process needs only to start: the garbage of the Go runtime, and
// the parts of the program and of its shared libraries that are mapped. The latter stay in the
// kernel's page cache, and are mapped again when they are used.
func shrink() {
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	for _, m := range unchanged(bufio.NewScanner(smaps)) {
		// It fails for a locked mapping, which stays.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED)
	}
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// unchanged returns the mappings of proc_pid_smaps(5) whose content is that of a file: those
// that cannot be written to, and without pages that were, as those of relocations.
func unchanged(smaps *bufio.Scanner) []mapping {
	var found []mapping
	inFile := false // the mapping is one of a file, and read-only
	for smaps.Scan() {
		var m mapping
		var mode, offset, device, inode, path string
		key, value, isField := strings.Cut(smaps.Text(), ": ")
		switch {
		case isField && (key == "Anonymous" || key == "Swap"):
			if inFile && strings.TrimSpace(value) != "0 kB" {
				found = found[:len(found)-1]
				inFile = false
			}
		case isField:
		default:
			_, err := fmt.Sscanf(smaps.Text(), "%x-%x %s %s %s %s %s", &m.from, &m.to, &mode, &offset, &device, &inode, &path)
			if inFile = err == nil && mode[1] == '-' && strings.HasPrefix(path, "/"); inFile {
				found = append(found, m)
			}
		}
	}
	return found
}
