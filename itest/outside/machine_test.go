//go:build linux

package outside

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// machine is all that a lab could leave on a machine apart from processes: a
// set of descriptions.
type machine map[string]bool

// since answers with what there is now and was not before.
func (m machine) since(before machine) []string {
	var list []string
	for thing := range m {
		if !before[thing] {
			list = append(list, thing)
		}
	}
	return list
}

// lookAtMachine describes the machine as a process sees it, by its folder in
// /proc.
func lookAtMachine(proc string) machine {
	m := machine{}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		m["interface "+i.Name] = true
	}
	for _, point := range mountPoints(proc) {
		m["mount "+point] = true
	}
	if info, err := os.Stat("/dev/kvm"); err == nil {
		stat := info.Sys().(*syscall.Stat_t)
		m[fmt.Sprintf("/dev/kvm %v of %d:%d", info.Mode(), stat.Uid, stat.Gid)] = true
	}
	rules, _ := exec.Command("nft", "-s", "list", "ruleset").Output()
	for line := range strings.Lines(string(rules)) {
		m["rule "+strings.TrimSpace(line)] = true
	}
	m.addFiles("/sys/fs/cgroup", regexp.MustCompile(`libvirt|qemu|machine`))
	m.addFiles("/run", regexp.MustCompile(`^/run/(lab|libvirt|sshd|virtlogd|xtables|lock/)`))
	for _, dir := range []string{"/var/lib/libvirt", "/etc/libvirt", "/var/log/libvirt", "/var/cache/libvirt", "/dev/shm"} {
		m.addFiles(dir, regexp.MustCompile(``))
	}
	return m
}

// addFiles adds the files and folders below dir that match. Much of a machine
// comes and goes without any lab.
func (m machine) addFiles(dir string, match *regexp.Regexp) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && match.MatchString(path) {
			m["file "+path] = true
		}
		return nil // what has just gone is not there
	})
}

// mountPoints lists what is mounted where, each as often as it is.
func mountPoints(proc string) []string {
	text, _ := os.ReadFile(filepath.Join(proc, "mountinfo"))
	var list []string
	for line := range strings.Lines(string(text)) {
		// proc_pid_mountinfo(5): the fifth field is the mount point.
		if fields := strings.Fields(line); len(fields) > 4 {
			list = append(list, fields[4])
		}
	}
	return list
}
