package sshconfig

import (
	"context"

	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// LoginName is the user that logs in to a target: that of its URL, or else the user
// that the ssh command takes.
func LoginName(t sshurl.Target) (string, error) {
	if t.User != "" {
		return t.User, nil
	}
	s, err := Read(Options{})
	if err != nil {
		return "", err
	}
	e, err := s.Resolve(context.Background(), t, hostkey.AcceptAny())
	return e.User, err
}
