package sshconfig

import "github.com/overcast-go/overcast/internal/sshclient/sshurl"

// LoginName is who logs in to a target: the user of its URL, or else the one
// whom the ssh command would take.
func LoginName(t sshurl.Target) (string, error) {
	e := Endpoint{Target: t}
	if e.User != "" {
		return e.User, nil
	}
	s, err := Read(Options{})
	if err != nil {
		return "", err
	}
	configured, err := s.get(t.Host, "User")
	if err != nil {
		return "", err
	}
	err = completeUser(&e, configured)
	return e.User, err
}
