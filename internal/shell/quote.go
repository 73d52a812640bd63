// Package shell builds command lines for Bourne shells.
package shell

import "strings"

// Quote makes one word of s.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Word is s if a shell takes it as one word as it is, and else Quote(s).
func Word(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_+=:,./-"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return Quote(s)
}

// Script is a command line that runs a script with arguments.
func Script(script string, args ...string) string {
	words := []string{"sh", "-c", Quote(script), "sh"}
	for _, a := range args {
		words = append(words, Quote(a))
	}
	return strings.Join(words, " ")
}
