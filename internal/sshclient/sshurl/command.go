package sshurl

import (
	"strconv"
	"strings"

	"github.com/overcast-go/overcast/internal/shell"
)

// Command is the ssh command that logs in to a target as this package does, through
// the machine via unless it is nil. It contains no secret: ssh asks for those. With
// isNew, ssh accepts the host key of the machine without a question, and does not
// remember it.
func Command(t Target, via *Target, isNew bool) string {
	words := []string{"ssh"}
	if isNew {
		words = append(words, "-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no")
	}
	if t.PrivateKeyFile != "" {
		words = append(words, "-i", shell.Word(t.PrivateKeyFile))
	}
	if via != nil {
		words = append(words, "-J", shell.Word(destination(*via)))
	}
	if t.Port != 0 {
		words = append(words, "-p", strconv.Itoa(t.Port))
	}
	name := t.Host // without brackets, whatever it is
	if t.User != "" {
		name = t.User + "@" + name
	}
	return strings.Join(append(words, shell.Word(name)), " ")
}

// destination is USER@HOST:PORT, as far as the target says.
func destination(t Target) string {
	if t.User == "" {
		return t.hostPort()
	}
	return t.User + "@" + t.hostPort()
}
