package lsmode_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/lsmode"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]fs.FileMode{
		"-rw-r-----":  0o640,
		"-rwsr-xr-x.": 0o755 | fs.ModeSetuid,
		"-rwx--s--T+": 0o710 | fs.ModeSetgid | fs.ModeSticky,
		"---S--S---":  fs.ModeSetuid | fs.ModeSetgid,
		"drwxrwxrwt":  0o777 | fs.ModeDir | fs.ModeSticky,
		"lrwxrwxrwx":  0o777 | fs.ModeSymlink,
		"prw-------":  0o600 | fs.ModeNamedPipe,
		"srwxr-xr-x":  0o755 | fs.ModeSocket,
		"brw-rw----":  0o660 | fs.ModeDevice,
		"crw-rw-rw-":  0o666 | fs.ModeDevice | fs.ModeCharDevice,
		"Drwxr-xr-x":  0o755 | fs.ModeIrregular,
	} {
		mode, err := lsmode.Parse(text)
		require.NoError(t, err)
		assert.Equal(t, want, mode, text)
	}
}

func TestParseRefusesWhatIsNoMode(t *testing.T) {
	for text, want := range map[string]string{
		"":           `reading the file mode "": it has less than 10 characters`,
		"ls: /a: no": `reading the file mode "ls: /a: no": unknown permission 's'`,
		"-sw-r--r--": `reading the file mode "-sw-r--r--": unknown permission 's'`,
	} {
		_, err := lsmode.Parse(text)
		assert.EqualError(t, err, want)
	}
}

func TestParseReadsTheOutputOfLs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, mode := range []fs.FileMode{0, 0o777, 0o755 | fs.ModeSetuid, 0o640 | fs.ModeSetgid, 0o644 | fs.ModeSticky} {
		require.NoError(t, os.Chmod(file, mode))
		out, err := exec.Command("ls", "-l", file).Output()
		require.NoError(t, err)
		got, err := lsmode.Parse(strings.Fields(string(out))[0])
		require.NoError(t, err)
		assert.Equal(t, mode, got)
	}
}
