package ssh

// Redact is provided by a commit that is on its way.
func Redact(text string) (string, []string) { return text, nil }
