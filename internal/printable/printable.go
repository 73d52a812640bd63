// Package printable makes text from a guest, or another machine, safe to show: a terminal
// that prints it is not controlled by it, and its length is limited.
package printable

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text returns a text with its control characters, other characters that do not print,
// and invalid bytes as escapes of Go: the escape character is \x1b. Line ends and tabs
// stay; a carriage return before a line end is dropped.
func Text(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	var b strings.Builder
	done := 0 // bytes of text that are in b
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if isShown(r, size) {
			i += size
			continue
		}
		b.WriteString(text[done:i])
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, text[i])
		} else {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
		done = i
	}
	if done == 0 {
		return text
	}
	b.WriteString(text[done:])
	return b.String()
}

func isShown(r rune, size int) bool {
	if r == utf8.RuneError {
		return size > 1
	}
	return r == '\n' || r == '\t' || strconv.IsPrint(r)
}

// maxExcerpt is the length from which [Excerpt] cuts a text, in bytes.
const maxExcerpt = 8 << 10

// Excerpt returns [Text] of a text, without its middle if it is long.
func Excerpt(text string) string {
	if cut := len(text) - maxExcerpt; cut > 0 {
		const half = maxExcerpt / 2
		text = fmt.Sprintf("%s ... (%d bytes omitted) ... %s", whole(text[:half]), cut, whole(text[len(text)-half:]))
	}
	return Text(text)
}

// MaxWidth is the length of a line from which [LastLines] cuts it, in bytes.
const MaxWidth = 500

// LastLines returns [Text] of up to count of the last lines of a text. Lines without
// text and blanks at the ends of lines are left out. Long lines end with "...".
func LastLines(text string, count int) []string {
	var lines []string
	for len(lines) < count && text != "" {
		start := strings.LastIndexByte(text, '\n') + 1
		line := strings.TrimRight(text[start:], " \t\r")
		text = text[:max(0, start-1)]
		if line == "" {
			continue
		}
		if len(line) > MaxWidth {
			line = whole(line[:MaxWidth]) + "..."
		}
		lines = append(lines, Text(line))
	}
	for i, j := 0, len(lines)-1; i < j; i, j = i+1, j-1 {
		lines[i], lines[j] = lines[j], lines[i]
	}
	return lines
}

// whole drops the parts of characters at the ends of a text that was cut.
func whole(text string) string {
	for i := 0; i < utf8.UTFMax-1 && text != ""; i++ {
		if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	for i := 0; i < utf8.UTFMax-1 && text != "" && !utf8.RuneStart(text[0]); i++ {
		text = text[1:]
	}
	return text
}
