package ssh

import (
	"errors"
	"strings"

	xssh "golang.org/x/crypto/ssh"
)

// unknownSignal is [Result.Signal] where the server does not report which
// signal it was.
const unknownSignal = "unknown"

// signalNumbers are the signals of Linux that servers name: OpenSSH the first
// 13 of them, dropbear since 2025 all that have a name.
var signalNumbers = map[string]int{
	"ABRT": 6, "ALRM": 14, "FPE": 8, "HUP": 1, "ILL": 4, "INT": 2, "KILL": 9, "PIPE": 13, "QUIT": 3, "SEGV": 11,
	"TERM": 15, "USR1": 10, "USR2": 12,
	"TRAP": 5, "BUS": 7, "STKFLT": 16, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "IO": 29, "POLL": 29, "PWR": 30, "SYS": 31,
}

// exitStatus reads how a command has ended. For a signal that they have no name
// for, OpenSSH sends the name SIG@openssh.com, and dropbear nothing.
func (s *session) exitStatus(err error) (status, error) {
	var exit *xssh.ExitError
	var silent *xssh.ExitMissingError
	switch {
	case errors.As(err, &silent) && strings.Contains(string(s.conn.ssh.ServerVersion()), "dropbear"):
		return status{128, unknownSignal}, nil
	case !errors.As(err, &exit):
		return status{}, err
	case exit.Signal() == "":
		return status{code: exit.ExitStatus()}, nil
	}
	if number, known := signalNumbers[exit.Signal()]; known {
		return status{128 + number, exit.Signal()}, nil
	}
	return status{128, unknownSignal}, nil
}
