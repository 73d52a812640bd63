package matchers

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// mounted is a line of a mount table.
type mounted struct {
	source, point, fileSystem string
	options                   []string
}

// String is the line as the command mount has it.
func (m mounted) String() string {
	return fmt.Sprintf("%s on %s type %s (%s)", m.source, shownPath(m.point), m.fileSystem, strings.Join(m.options, ","))
}

// commandLine is a line of the command mount, where nothing is escaped.
var commandLine = regexp.MustCompile(`^(.*) on (/.*) type (\S+) \(([^()]*)\)$`)

// parseMounts reads a table as /proc/mounts and the command mount print it.
// Lines that are none are passed over.
func parseMounts(table string) []mounted {
	var list []mounted
	for line := range strings.Lines(table) {
		line = strings.TrimRight(line, "\r\n")
		if fields := commandLine.FindStringSubmatch(line); fields != nil {
			list = append(list, newMounted(fields[1], fields[2], fields[3], fields[4]))
			continue
		}
		if fields := strings.Split(line, " "); len(fields) >= 4 {
			list = append(list, newMounted(unescape(fields[0]), unescape(fields[1]), unescape(fields[2]), fields[3]))
		}
	}
	return list
}

func newMounted(source, point, fileSystem, options string) mounted {
	return mounted{source, path.Clean(point), fileSystem, strings.Split(options, ",")}
}

var octal = regexp.MustCompile(`\\[0-3][0-7][0-7]`)

// unescape decodes the octal escapes by which the kernel keeps blanks and line
// ends out of the table.
func unescape(field string) string {
	return octal.ReplaceAllStringFunc(field, func(escape string) string {
		return string([]byte{(escape[1]-'0')<<6 | (escape[2]-'0')<<3 | (escape[3] - '0')})
	})
}

// shownPath quotes a path whose blanks and quotes would be lost in a text.
func shownPath(p string) string {
	if strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r == '\'' || r == '"' || r == 0x7f }) {
		return fmt.Sprintf("%q", p)
	}
	return p
}
