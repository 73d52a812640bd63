package ssh

import "strings"

// quote makes one word of s for any Bourne shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quotePath is quote for a path: one that begins with '-' is no option, and a
// leading ~/ is where commands start, the home directory.
func quotePath(p string) string {
	return quote(cleanRemote(p))
}

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
