package ssh

import "strings"

// Quote makes one word of s for any Bourne shell.
func Quote(s string) string { return quote(s) }

// quote makes one word of s for any Bourne shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// cleanRemote makes a path that commands and SFTP take the same way: a leading
// ~/ is where both start, the home directory, and one that begins with '-' is
// no option.
func cleanRemote(p string) string {
	switch {
	case p == "~" || p == "~/":
		return "."
	case strings.HasPrefix(p, "~/"):
		p = strings.TrimLeft(p[2:], "/")
	}
	if strings.HasPrefix(p, "-") {
		return "./" + p
	}
	return p
}
