//go:build linux

package outside

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tray is a mount namespace whose file systems are laid over the machine's:
// a process in it sees the machine's files, and what it writes, changes or
// removes is caught in one folder. Other work on the machine is not caught.
// Only the caches of guests and of Go are the machine's own.
type tray struct {
	holder *exec.Cmd // keeps the namespace
	caught string    // the folder, as seen from outside
}

// trayScript sets a tray up and holds it until its standard input ends. Its
// first argument is an empty folder, the others are mounts to take over.
const trayScript = `set -e
scratch=$1
shift
mount -t tmpfs tray "$scratch"
mkdir "$scratch/root" "$scratch/caught" "$scratch/work"
lay() {
	name=$(echo "$1" | tr / %)
	mkdir "$scratch/caught/$name" "$scratch/work/$name"
	chmod --reference="$1" "$scratch/caught/$name"
	mount -t overlay -o "lowerdir=$1,upperdir=$scratch/caught/$name,workdir=$scratch/work/$name" tray "$scratch/root$1"
}
lay /
for dir in /run /tmp /var; do
	if mountpoint -q "$dir"; then lay "$dir"; fi
done
for dir in "$@"; do
	mount --rbind "$dir" "$scratch/root$dir"
done
exec 3<"$scratch/caught"
cd "$scratch/root"
pivot_root . ".$scratch"
umount -l "$scratch"
# As on most machines: mounts that the lab did not keep to itself would show.
mount --make-rshared /
echo laid
exec cat
`

func newTray(t *testing.T) *tray {
	t.Helper()
	// t.TempDir has the test's name in it, and commas and colons mean something
	// to an overlay.
	scratch, err := os.MkdirTemp("", "lab-tray-")
	require.NoError(t, err)
	args := append([]string{"--mount", "--propagation", "private", "sh", "-c", trayScript, "sh", scratch}, takenOver(t)...)
	holder := exec.Command("unshare", args...)
	var complaint output
	holder.Stderr = &complaint
	stdin, err := holder.StdinPipe()
	require.NoError(t, err)
	stdout, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	t.Cleanup(func() {
		stdin.Close()
		_ = holder.Wait()
		require.NoError(t, os.Remove(scratch))
	})
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	require.Equal(t, "laid\n", line, complaint.String())
	return &tray{holder, fmt.Sprintf("/proc/%d/fd/3", holder.Process.Pid)}
}

// takenOver are the mounts that a tray does not lay anything over: the
// kernel's, those that hold neither state nor programs, and caches.
func takenOver(t *testing.T) []string {
	t.Helper()
	list := []string{"/proc", "/sys", "/dev"}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(cache, 0o755))
	for _, dir := range mountPoints("/proc/self") {
		if dir != "/" && !below(dir, append(list, "/run", "/tmp", "/var")) {
			list = append(list, dir)
		}
	}
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	require.NoError(t, err)
	for _, dir := range append(strings.Fields(string(out)), cache) {
		require.NoError(t, os.MkdirAll(dir, 0o755))
		if !below(dir, list) {
			list = append(list, dir)
		}
	}
	return list
}

func below(path string, dirs []string) bool {
	for _, dir := range dirs {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// command is what runs a command on the tray. It becomes that command, so its
// process is that of what is started.
func (tr *tray) command(dir string, args []string) []string {
	enter := []string{"nsenter", "--target", strconv.Itoa(tr.holder.Process.Pid), "--mount",
		"sh", "-c", `cd "$0" && exec "$@"`, dir}
	return append(enter, args...)
}

// run runs a script on the tray.
func (tr *tray) run(t *testing.T, script string) {
	t.Helper()
	args := tr.command("/", []string{"sh", "-e", "-c", script})
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// others is what programs that the lab runs keep for themselves: apt's index
// of packages, Go's telemetry, and what a killed "go run" built.
func others() []string {
	list := []string{"/var/cache/apt/", "/var/lib/apt/", filepath.Join(os.TempDir(), "go-build")}
	if config, err := os.UserConfigDir(); err == nil {
		list = append(list, filepath.Join(config, "go")+"/")
	}
	return list
}

// files lists what has been written, changed or removed, bar what others did.
func (tr *tray) files() []string {
	var list []string
	laid, _ := os.ReadDir(tr.caught)
	for _, over := range laid {
		root := filepath.Join(tr.caught, over.Name())
		at := strings.ReplaceAll(over.Name(), "%", "/")
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			path = filepath.Join(at, strings.TrimPrefix(path, root))
			for _, other := range others() {
				if strings.HasPrefix(path, other) {
					return nil
				}
			}
			// A folder shows up when something in it has come and gone.
			if _, missing := os.Lstat(path); err == nil && (!e.IsDir() || missing != nil) {
				list = append(list, "file "+path)
			}
			return nil
		})
	}
	return list
}
