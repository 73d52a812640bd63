//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTellingLeavesOutWhatEveryLabLogs(t *testing.T) {
	const failure = "2026-01-02 03:04:05.678+0000: 29: error : virNetSocketNewListenUNIX:531 : Failed to bind socket"
	log := strings.Join([]string{
		"2026-01-02 03:04:05.678+0000: 40: info : libvirt version: 9.0.0, package: 9.0.0-4+deb12u2 (Debian)",
		"2026-01-02 03:04:05.678+0000: 40: error : virGDBusGetSystemBus:99 : internal error: Unable to get system bus connection: Could not connect: No such file or directory",
		"2026-01-02 03:04:05.678+0000: 40: error : udevGetDMIData:1936 : internal error: Failed to get udev device for syspath '/sys/devices/virtual/dmi/id'",
		"2026-01-02 03:04:05.678+0000: 40: error : virCommandWait:2725 : internal error: Child process (/usr/sbin/dmidecode -q) unexpected exit status 1: /dev/mem: No such file or directory",
		"",
		failure,
		"2026-01-02 03:04:05.678+0000: 24: error : virNetSocketReadWire:1793 : End of file while reading data: Input/output error",
	}, "\n")
	assert.Equal(t, []string{failure}, telling(log))
}

func TestTellingKeepsTheEnd(t *testing.T) {
	var log strings.Builder
	for i := range 3 * logTail {
		fmt.Fprintf(&log, "line %d\n", i)
	}
	lines := telling(log.String())
	assert.Len(t, lines, logTail)
	assert.Equal(t, fmt.Sprintf("line %d", 3*logTail-1), lines[logTail-1])
}
