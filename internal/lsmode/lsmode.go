// Package lsmode reads file modes as ls -l prints them.
package lsmode

import (
	"fmt"
	"io/fs"
)

var types = map[byte]fs.FileMode{
	'-': 0,
	'd': fs.ModeDir,
	'l': fs.ModeSymlink,
	'p': fs.ModeNamedPipe,
	's': fs.ModeSocket,
	'b': fs.ModeDevice,
	'c': fs.ModeDevice | fs.ModeCharDevice,
}

// Parse reads a mode such as -rwsr-xr-x. It ignores a mark of extended attributes
// after it. A type of file that it does not know is [fs.ModeIrregular].
func Parse(text string) (fs.FileMode, error) {
	if len(text) < 10 {
		return 0, fmt.Errorf("reading the file mode %q: it has less than 10 characters", text)
	}
	mode, known := types[text[0]]
	if !known {
		mode = fs.ModeIrregular
	}
	special := []fs.FileMode{fs.ModeSetuid, fs.ModeSetgid, fs.ModeSticky}
	for n := range 9 {
		bit := fs.FileMode(0o400 >> n)
		switch letter := text[1+n]; {
		case letter == '-':
		case letter == "rwx"[n%3]:
			mode |= bit
		case n%3 == 2 && (letter == 's' || letter == 't'):
			mode |= bit | special[n/3]
		case n%3 == 2 && (letter == 'S' || letter == 'T'):
			mode |= special[n/3]
		default:
			return 0, fmt.Errorf("reading the file mode %q: unknown permission %q", text, letter)
		}
	}
	return mode, nil
}
