// Package snapshot saves and restores the state of a running domain inside its
// disks, by commands to QEMU's monitor. Unlike libvirt's own snapshots, they work
// on disks whose files have been unlinked, and they do not restart QEMU: the
// domain stays the same for libvirt, and keeps its autodestroy flag.
package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"

	"libvirt.org/go/libvirt"
)

// CommandError is the error that QEMU answers a command with.
type CommandError struct {
	Command     string `json:"-"`
	Class       string `json:"class"`
	Description string `json:"desc"`
}

// Error is QEMU's description.
func (e *CommandError) Error() string { return e.Command + ": " + e.Description }

// isUnknownCommand reports whether QEMU is too old for a command.
func isUnknownCommand(err error) bool {
	var answered *CommandError
	return errors.As(err, &answered) && answered.Class == "CommandNotFound"
}

// execute sends a command to the monitor of a domain and decodes the answer into
// result, unless that is nil.
func execute(domain *libvirt.Domain, command string, arguments, result any) error {
	request, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	text, err := domain.QemuMonitorCommand(string(request), libvirt.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
	if err != nil {
		return explainRefusal(err)
	}
	return decodeAnswer(command, text, result)
}

func decodeAnswer(command, text string, result any) error {
	var answer struct {
		Return json.RawMessage
		Error  *CommandError
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return fmt.Errorf("%s: reading the answer of QEMU: %w", command, err)
	}
	if answer.Error != nil {
		answer.Error.Command = command
		return answer.Error
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Return, result); err != nil {
		return fmt.Errorf("%s: reading the answer of QEMU: %w", command, err)
	}
	return nil
}
