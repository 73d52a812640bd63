package transfer

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/overcast-go/overcast/internal/shell"
)

// modesScript sets the modes that local files have on their copies: with the
// folder as working directory, or for a single file on $t. Folders come after
// what is in them, as one may be read-only.
func modesScript(local string) (string, error) {
	var lines []string
	local, err := filepath.EvalSymlinks(local)
	if err != nil {
		return "", err
	}
	err = filepath.WalkDir(local, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(name)
		if err != nil || info.Mode()&fs.ModeSymlink != 0 {
			return err
		}
		relative, err := filepath.Rel(local, name)
		if err != nil {
			return err
		}
		what := shell.Quote("./" + filepath.ToSlash(relative))
		if name == local && !info.IsDir() {
			what = `"$t"`
		}
		lines = append(lines, fmt.Sprintf("chmod %s %s || exit\n", octal(info.Mode()), what))
		return nil
	})
	var b strings.Builder
	for i := len(lines) - 1; i >= 0; i-- {
		b.WriteString(lines[i])
	}
	return b.String(), err
}
