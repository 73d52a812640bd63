package sshconfig

import (
	"context"

	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// LoginName is who logs in to a target: the user of its URL, or else the one
// whom the ssh command would take.
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
