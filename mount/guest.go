package mount

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Guest is a mapping with mountAt, for the guest's side.
type Guest struct {
	Tag      string // the mapping's target
	Path     string // where the folder is mounted; created if missing
	Driver   Driver // NineP or VirtioFS
	ReadOnly bool
}

// Guest returns the guest's side of a mapping. Its driver must not be Auto.
func (e Entry) Guest() Guest {
	return Guest{Tag: e.Target, Path: path.Clean(e.MountAt), Driver: e.Driver, ReadOnly: e.IsReadOnly()}
}

// String returns the tag and the path, as in "data at /data".
func (g Guest) String() string { return g.Tag + " at " + g.Path }

// messageSize is the 9p option msize in bytes: the maximum of the kernel's virtio
// transport. With the default, 8 kB before Linux 5.15, reading is many times
// slower.
const messageSize = 512000

// options returns the argument of mount's option -o, or "".
func (g Guest) options() string {
	var options []string
	if g.Driver != VirtioFS {
		options = append(options, "trans=virtio", "version=9p2000.L", fmt.Sprintf("msize=%d", messageSize))
	}
	if g.ReadOnly {
		options = append(options, "ro")
	}
	return strings.Join(options, ",")
}

// MountCommand returns a command for the guest that creates and mounts the folder.
// It needs a POSIX shell and the commands of busybox or util-linux. If the tag is
// already mounted at the path, for example from the guest's fstab, the command
// prints "already" and exits with 0. If it fails, [Guest.Failed] returns an error
// that explains its output.
func (g Guest) MountCommand() string {
	options := ""
	if o := g.options(); o != "" {
		options = " -o " + o
	}
	return "sh -c " + quote(fmt.Sprintf(`while read -r source point rest; do
	if [ "$source" = %[1]s ] && [ "$point" = %[2]s ]; then echo already; exit 0; fi
done </proc/mounts
mkdir -p %[3]s || exit
mount -t %[4]s%[5]s %[1]s %[3]s && exit
code=$?
%[6]s
exit $code`, quote(g.Tag), quote(escape(g.Path)), quote(g.Path), g.Driver.fileSystem(), options, strings.Join(g.driverChecks(), "\n")))
}

// UnmountCommand returns a command for the guest that unmounts the folder. A folder
// in use is detached (umount -l) and unmounted when it is no longer in use.
func (g Guest) UnmountCommand() string {
	return "sh -c " + quote(fmt.Sprintf("umount %s 2>/dev/null || umount -l %[1]s", quote(g.Path)))
}

// missingDriver is the prefix of a line of output that names a driver that the
// guest's kernel does not have.
const missingDriver = "overcast: not in the guest's kernel: "

// driverChecks returns commands that print which drivers the guest's kernel does
// not have. The error messages of the different mount commands are less precise.
func (g Guest) driverChecks() []string {
	check := func(test, what string) string { return test + " || echo " + quote(missingDriver+what) + " >&2" }
	if g.Driver == VirtioFS {
		return []string{check("grep -qw virtiofs /proc/filesystems", "virtiofs")}
	}
	return []string{
		check("grep -qw 9p /proc/filesystems", "9p"),
		check("[ -e /sys/bus/virtio/drivers/9pnet_virtio ]", "9pnet_virtio"),
	}
}

// escape escapes a path as /proc/mounts does.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`, "#", `\043`).Replace(path)
}

// quote quotes a text as one word for a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// InOrder returns mounts in the order in which to mount them: a path before the
// paths below it.
func InOrder(mounts []Guest) []Guest {
	return slices.SortedStableFunc(slices.Values(mounts), func(a, b Guest) int { return strings.Compare(a.Path, b.Path) })
}
