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

// shellCommand is a command line that runs a script with arguments.
func shellCommand(script string, args ...string) string {
	words := []string{"sh", "-c", quote(script), "sh"}
	for _, a := range args {
		words = append(words, quote(a))
	}
	return strings.Join(words, " ")
}
