// Package qmp sends commands to QEMU's monitor through libvirt, in the format of the QEMU
// Machine Protocol: https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html.
package qmp

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

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

// IsUnknownCommand reports whether QEMU is too old for a command.
func IsUnknownCommand(err error) bool {
	var answered *CommandError
	return errors.As(err, &answered) && answered.Class == "CommandNotFound"
}

// Execute sends a command to the monitor of a domain and decodes the answer into result,
// unless that is nil. The error is a *[CommandError] or libvirt's.
func Execute(domain *libvirt.Domain, command string, arguments, result any) error {
	request, err := encode(command, arguments)
	if err != nil {
		return err
	}
	text, err := domain.QemuMonitorCommand(request, libvirt.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
	if err != nil {
		return err
	}
	return decode(command, text, result)
}

// PassFile gives QEMU a file under a name, which later commands refer to. It needs a
// connection to a libvirtd of this machine.
func PassFile(domain *libvirt.Domain, name string, file *os.File) error {
	const command = "getfd"
	request, err := encode(command, map[string]any{"fdname": name})
	if err != nil {
		return err
	}
	text, _, err := domain.QemuMonitorCommandWithFiles(request, []os.File{*file}, libvirt.DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
	if err != nil {
		return err
	}
	return decode(command, text, nil)
}

func encode(command string, arguments any) (string, error) {
	request, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	return string(request), nil
}

func decode(command, text string, result any) error {
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
