package virt

import (
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// qemuLogTail returns the last lines of QEMU's log of a domain, without QEMU's command
// line. It returns nil if the hypervisor is another machine, or if this process may not
// read the log.
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
	const limit = 16 << 10
	if info, err := log.Stat(); err == nil && info.Size() > limit {
		_, _ = log.Seek(-limit, io.SeekEnd)
	}
	text, err := io.ReadAll(io.LimitReader(log, limit))
	if err != nil {
		return nil
	}
	var kept []string
	for _, line := range lastLines(string(text), 1000) {
		if !strings.HasSuffix(line, `\`) && !strings.HasPrefix(line, "-") {
			kept = append(kept, line)
		}
	}
	return kept[max(0, len(kept)-lines):]
}

// qemuLogPath returns the path of the log, or "" if it is on another machine.
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
