package matchers

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// mountEntry is a line of a mount table.
type mountEntry struct {
	source, point, fileSystem string
	options                   []string
}

// String formats the line as the command mount does.
func (m mountEntry) String() string {
	return fmt.Sprintf("%s on %s type %s (%s)", m.source, quotePath(m.point), m.fileSystem, strings.Join(m.options, ","))
}

// mountLine is a line of the output of the command mount, which escapes nothing.
var mountLine = regexp.MustCompile(`^(.*) on (/.*) type (\S+) \(([^()]*)\)$`)

// parseMounts reads a table in the format of /proc/mounts or of the command
// mount. It ignores other lines.
func parseMounts(table string) []mountEntry {
	var list []mountEntry
	for line := range strings.Lines(table) {
		line = strings.TrimRight(line, "\r\n")
		if fields := mountLine.FindStringSubmatch(line); fields != nil {
			list = append(list, newMountEntry(fields[1], fields[2], fields[3], fields[4]))
			continue
		}
		if fields := strings.Split(line, " "); len(fields) >= 4 {
			list = append(list, newMountEntry(unescape(fields[0]), unescape(fields[1]), unescape(fields[2]), fields[3]))
		}
	}
	return list
}

func newMountEntry(source, point, fileSystem, options string) mountEntry {
	return mountEntry{source, path.Clean(point), fileSystem, strings.Split(options, ",")}
}

var octal = regexp.MustCompile(`\\[0-3][0-7][0-7]`)

// unescape decodes the octal escapes that the kernel writes for blanks, tabs, line
// ends and backslashes.
func unescape(field string) string {
	return octal.ReplaceAllStringFunc(field, func(escape string) string {
		return string([]byte{(escape[1]-'0')<<6 | (escape[2]-'0')<<3 | (escape[3] - '0')})
	})
}
