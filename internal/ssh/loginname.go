package ssh

// LoginName is who logs in to a target: the user of its URL, or else the one
// whom the ssh command would take.
func LoginName(t Target) (string, error) {
	e := endpoint{Target: t}
	if e.User != "" {
		return e.User, nil
	}
	options := (*Options)(nil).withDefaults()
	s, err := readSettings(&options)
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
