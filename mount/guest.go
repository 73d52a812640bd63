package mount

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Guest is a mapping as the guest sees it: what is to be mounted there.
type Guest struct {
	Tag      string // the mapping's target
	Path     string // where it is mounted; the folder is made if it is missing
	Driver   Driver // NineP or VirtioFS
	ReadOnly bool
}

// Guest is what is to be mounted for a mapping whose driver is settled.
func (e Entry) Guest() Guest {
	return Guest{Tag: e.Target, Path: path.Clean(e.MountAt), Driver: e.Driver, ReadOnly: e.IsReadOnly()}
}

// String names the tag and where it is mounted.
func (g Guest) String() string { return g.Tag + " at " + g.Path }

// messageSize is 9p's msize in bytes: as much as goes through the kernel's
// virtio transport at once. Its default, 8 kB before Linux 5.15, reads many
// times slower.
const messageSize = 512000

// Options are those that the command mount gets with -o; "" is none.
func (g Guest) Options() string {
	var options []string
	if g.Driver != VirtioFS {
		options = append(options, "trans=virtio", "version=9p2000.L", fmt.Sprintf("msize=%d", messageSize))
	}
	if g.ReadOnly {
		options = append(options, "ro")
	}
	return strings.Join(options, ",")
}

// MountCommand mounts it, for a shell of the guest's: any Bourne shell, with the
// commands of busybox or of util-linux. A tag that is mounted there already, by
// the guest's fstab for example, is left as it is, and the command prints
// the word already. When it fails, [Guest.Failed] knows what its error output means.
func (g Guest) MountCommand() string {
	options := ""
	if o := g.Options(); o != "" {
		options = " -o " + o
	}
	return "sh -c " + quote(fmt.Sprintf(`while read -r source point rest; do
	if [ "$source" = %[1]s ] && [ "$point" = %[2]s ]; then echo already; exit 0; fi
done </proc/mounts
mkdir -p %[3]s || exit
mount -t %[4]s%[5]s %[1]s %[3]s && exit
code=$?
%[6]s
exit $code`, quote(g.Tag), quote(escape(g.Path)), quote(g.Path), g.Driver.kind(), options, strings.Join(g.evidence(), "\n")))
}

// UnmountCommand unmounts it. What is still in use goes out of sight at once,
// and is unmounted when it is no longer.
func (g Guest) UnmountCommand() string {
	at := quote(g.Path)
	return "sh -c " + quote(fmt.Sprintf("umount %s 2>/dev/null || umount -l %[1]s", at))
}

// noDriver begins the lines that tell of a kernel that has no driver.
const noDriver = "overcast: not in the guest's kernel: "

// evidence prints which drivers the kernel lacks: the commands' own words
// for that differ, and say less.
func (g Guest) evidence() []string {
	lacks := func(test, what string) string { return test + " || echo " + quote(noDriver+what) + " >&2" }
	if g.Driver == VirtioFS {
		return []string{lacks("grep -qw virtiofs /proc/filesystems", "virtiofs")}
	}
	return []string{
		lacks("grep -qw 9p /proc/filesystems", "9p"),
		lacks("[ -e /sys/bus/virtio/drivers/9pnet_virtio ]", "9pnet_virtio"),
	}
}

// escape writes a path as /proc/mounts has it.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`, "#", `\043`).Replace(path)
}

// quote makes one word of a text for a Bourne shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// InOrder sorts mounts so that each comes after those that it lies below.
func InOrder(mounts []Guest) []Guest {
	return slices.SortedStableFunc(slices.Values(mounts), func(a, b Guest) int { return strings.Compare(a.Path, b.Path) })
}
