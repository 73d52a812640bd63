package sshclient_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/stretchr/testify/assert"
)

// What a machine sends must not control the terminal that shows an error, or fill it.
func TestErrorsShowControlCharactersAsEscapes(t *testing.T) {
	sent := errors.New("\x1b]0;title\a" + strings.Repeat("x", 1<<20))
	for name, err := range map[string]error{
		"operation": &sshclient.OperationError{Op: "downloading a", Err: sent},
		"dial":      &sshclient.DialError{Phase: sshclient.PhaseHandshake, Addr: "h:22", Err: sent},
		"login":     &sshclient.LoginError{User: "u", Addr: "h:22", Offered: []string{sent.Error()}, Banner: "\x1b[2J", Err: errors.New("refused")},
	} {
		text := err.Error()
		assert.NotContains(t, text, "\x1b", name)
		assert.Contains(t, text, `\x1b]0;title\a`, name)
		assert.Less(t, len(text), 16<<10, name)
	}
}

func TestDialErrorsShowNoCallsOfPackageNet(t *testing.T) {
	address := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 22}
	for want, err := range map[string]error{
		"connection refused": os.NewSyscallError("connect", syscall.ECONNREFUSED),
		"no route to host":   os.NewSyscallError("connect", syscall.EHOSTUNREACH),
		"no answer in time":  os.ErrDeadlineExceeded,
	} {
		err := &sshclient.DialError{Phase: sshclient.PhaseConnect, Addr: "192.0.2.1:22", Err: &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: err}}
		assert.EqualError(t, err, "ssh to 192.0.2.1:22: connecting: "+want)
	}
}
