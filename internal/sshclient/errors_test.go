package sshclient_test

import (
	"errors"
	"strings"
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
