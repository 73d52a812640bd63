package virt

import (
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// qemuLogTail is the last lines of what QEMU has written for a domain. Only
// the hypervisor's own machine has the log: nil elsewhere, and where this
// process may not read it.
func qemuLogTail(hypervisor, domain string, lines int) []string {
	path := qemuLogPath(hypervisor, domain)
	if path == "" {
		return nil
	}
	log, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer log.Close()
	const enough = 16 << 10
	if info, err := log.Stat(); err == nil && info.Size() > enough {
		_, _ = log.Seek(-enough, io.SeekEnd)
	}
	text, err := io.ReadAll(io.LimitReader(log, enough))
	if err != nil {
		return nil
	}
	var telling []string
	for _, line := range lastLines(string(text), 1000) {
		// The command line of QEMU, over many lines, tells nothing of how it ended.
		if !strings.HasSuffix(line, `\`) && !strings.HasPrefix(line, "-") {
			telling = append(telling, line)
		}
	}
	return telling[max(0, len(telling)-lines):]
}

// qemuLogPath is where libvirt keeps the log, or "" if that is on another machine.
func qemuLogPath(hypervisor, domain string) string {
	parsed, err := url.Parse(hypervisor)
	if err != nil || parsed.Host != "" {
		return ""
	}
	switch parsed.Path {
	case "/system":
		return filepath.Join("/var/log/libvirt/qemu", domain+".log")
	case "/session":
		if cache, err := os.UserCacheDir(); err == nil {
			return filepath.Join(cache, "libvirt/qemu/log", domain+".log")
		}
	}
	return ""
}
