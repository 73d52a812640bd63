package matchers_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
)

const mountTable = `rootfs / rootfs rw 0 0
/dev/vda / ext4 rw,relatime 0 0
old /data tmpfs rw 0 0
data /data 9p ro,sync,dirsync,relatime,access=client,trans=virtio 0 0
my\040tag /mnt/two\040words\134\011and\012more 9p rw,trans=virtio 0 0
`

const mountCommand = `/dev/sda1 on / type ext4 (rw)
my tag on /mnt/two words type 9p (ro,trans=virtio)
`

// triedMounts is the line of messages with the command that reads the table.
const triedMounts = "tried: cat /proc/mounts 2>/dev/null || cat /etc/mtab 2>/dev/null || mount\n"

func TestHaveMounted(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: mountTable})
	passes(t, HaveMounted("/data"), host, text(host, `Expected
    %s, as tester
not to have /data mounted
`+triedMounts+`found: data on /data type 9p (ro,sync,dirsync,relatime,access=client,trans=virtio)
attempts: 1`))
	passes(t, HaveMounted("//data/./").ReadOnly().WithType("9p").From("data"), host, text(host, `Expected
    %s, as tester
not to have /data mounted read-only, with type "9p", with source "data"
`+triedMounts+`found: data on /data type 9p (ro,sync,dirsync,relatime,access=client,trans=virtio)
attempts: 1`))
	fails(t, HaveMounted("/dat"), host, text(host, `Expected
    %s, as tester
to have /dat mounted
`+triedMounts+`found: nothing is mounted at /dat
attempts: 1`))
	fails(t, HaveMounted("/mnt").From("data"), host, text(host, `Expected
    %s, as tester
to have /mnt mounted, with source "data"
`+triedMounts+`found: nothing is mounted at /mnt; the source is mounted elsewhere: data on /data type 9p (ro,sync,dirsync,relatime,access=client,trans=virtio)
attempts: 1`))
	fails(t, HaveMounted("/").ReadOnly(), host, text(host, `Expected
    %s, as tester
to have / mounted read-only
`+triedMounts+`found: it is not read-only: /dev/vda on / type ext4 (rw,relatime)
attempts: 1`))
	fails(t, HaveMounted("/data").WithType("tmpfs"), host, text(host, `Expected
    %s, as tester
to have /data mounted, with type "tmpfs"
`+triedMounts+`found:
    data on /data type 9p (ro,sync,dirsync,relatime,access=client,trans=virtio)
    type:
    Expected
        <string>: 9p
    to equal
        <string>: tmpfs
attempts: 1`))
	fails(t, HaveMounted("/data").From(HavePrefix("/dev/")), host, text(host, `Expected
    %s, as tester
to have /data mounted, with source satisfying the given matcher
`+triedMounts+`found:
    data on /data type 9p (ro,sync,dirsync,relatime,access=client,trans=virtio)
    source:
    Expected
        <string>: data
    to have prefix
        <string>: /dev/
attempts: 1`))
}

func TestHaveMountedDecodesEscapes(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: mountTable})
	passes(t, HaveMounted("/mnt/two words\\\tand\nmore").From("my tag"), host, text(host, `Expected
    %s, as tester
not to have "/mnt/two words\\\tand\nmore" mounted, with source "my tag"
`+triedMounts+`found: my tag on "/mnt/two words\\\tand\nmore" type 9p (rw,trans=virtio)
attempts: 1`))
}

func TestHaveMountedReadsTheOutputOfTheCommandMount(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: mountCommand})
	passes(t, HaveMounted("/mnt/two words").ReadOnly().WithType("9p").From("my tag"), host, text(host, `Expected
    %s, as tester
not to have "/mnt/two words" mounted read-only, with type "9p", with source "my tag"
`+triedMounts+`found: my tag on "/mnt/two words" type 9p (ro,trans=virtio)
attempts: 1`))
}

func TestHaveMountedWithoutATableIsAnError(t *testing.T) {
	host := answers(t, fixture.Result{Stderr: "mount: not found\n", ExitCode: 127})
	unknown(t, HaveMounted("/data"), host, text(host, `cannot check
    %s, as tester
to have /data mounted
`+triedMounts+`last error: reading the mount table: the command exited with 127, stdout empty, stderr "mount: not found\n"
attempts: 1`))
}

func TestHaveMountedRefusesARelativePath(t *testing.T) {
	unknown(t, HaveMounted("data"), answers(t, fixture.Result{}), `HaveMounted: "data" is not an absolute path`)
}
