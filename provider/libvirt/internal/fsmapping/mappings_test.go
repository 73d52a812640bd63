package fsmapping

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/mount"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"
)

func TestDriverDependsOnTheCapabilitiesOfTheHypervisor(t *testing.T) {
	everything := capabilities{ninep: true, virtioFS: true, memfd: true, version: 11_001_000}
	with := func(change func(*capabilities)) capabilities {
		can := everything
		change(&can)
		return can
	}
	for name, test := range map[string]struct {
		keys    string
		can     capabilities
		driver  mount.Driver
		refused string
	}{
		"no driver":               {``, everything, mount.NineP, ""},
		"auto":                    {`driver = auto`, everything, mount.NineP, ""},
		"9p":                      {`driver = 9p, accessMode = squash`, everything, mount.NineP, ""},
		"virtiofs":                {`driver = virtiofs`, everything, mount.VirtioFS, ""},
		"auto without 9p":         {``, with(func(a *capabilities) { a.ninep = false }), mount.VirtioFS, ""},
		"9p without 9p":           {`driver = 9p`, with(func(a *capabilities) { a.ninep = false }), "", `fsMapping.data.driver: the hypervisor at qemu:///system has no 9p`},
		"auto without anything":   {``, with(func(a *capabilities) { a.ninep, a.virtioFS = false, false }), "", "has no virtiofs: its QEMU or libvirt is too old, or was built without it; and its QEMU has no 9p either"},
		"auto, mapped without 9p": {`accessMode = mapped`, with(func(a *capabilities) { a.ninep = false }), "", "fsMapping.data.accessMode: virtiofs has no access mode but passthrough, and its QEMU has no 9p either"},
		"virtiofs without":        {`driver = virtiofs`, with(func(a *capabilities) { a.virtioFS = false }), "", "overcast.conf:1:79: nat_host.fsMapping.data.driver: the hypervisor at qemu:///system has no virtiofs"},
		"virtiofs without memfd":  {`driver = virtiofs`, with(func(a *capabilities) { a.memfd = false }), "", "cannot share a domain's memory"},
		"read-only by default":    {`driver = virtiofs`, with(func(a *capabilities) { a.version = 10_010_001 }), "", "fsMapping.data.readOnly: libvirt 10.10.1 at qemu:///system cannot make virtiofs read-only (11.0 and later can): set readOnly = false, or use driver = 9p"},
		"writable":                {`driver = virtiofs, readOnly = false`, with(func(a *capabilities) { a.version = 9_000_000 }), mount.VirtioFS, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := foldersOf(t, `nat_host { libvirtBaseDomain = base, fsMapping.data { hostPath = /a, `+test.keys+` } }`)
			m := &mapping{Entry: f.Entries[0]}
			err := f.resolveDriver(m, test.can)
			if test.refused != "" {
				require.ErrorContains(t, err, test.refused)
				var positioned hocon.Error
				require.ErrorAs(t, err, &positioned)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.driver, m.Driver)
		})
	}
}

// foldersOf returns the folders of a host's section.
func foldersOf(t *testing.T, text string) *Folders {
	t.Helper()
	document, err := hocon.Parse(t.Context(), "overcast.conf", []byte(text), nil)
	require.NoError(t, err)
	root, err := document.Resolve(t.Context(), nil)
	require.NoError(t, err)
	section, ok := root.Get("nat_host")
	require.True(t, ok)
	var config struct {
		FSMapping map[string]mount.Mapping `hocon:"fsMapping"`
	}
	require.NoError(t, section.DecodeKnown(&config))
	return &Folders{URL: "qemu:///system", Section: section, Entries: Entries(section, config.FSMapping)}
}

func TestCapabilitiesThatAreNotReportedCountAsSupported(t *testing.T) {
	enums := []libvirtxml.DomainCapsEnum{{Name: "driverType", Values: []string{"path", "handle"}}}
	assert.True(t, offers("yes", enums, "driverType", "path"))
	assert.False(t, offers("yes", enums, "driverType", "virtiofs"))
	assert.False(t, offers("no", enums, "driverType", "path"))
	assert.True(t, offers("yes", nil, "driverType", "virtiofs"), "it is not reported")
}

func TestFolderMustBeReadableForQEMU(t *testing.T) {
	me, err := user.Current()
	require.NoError(t, err)
	uid, err := strconv.Atoi(me.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(me.Gid)
	require.NoError(t, err)
	stranger := &virt.QEMUAccount{UID: 4_000_000, GID: 4_000_000}
	dir := filepath.Join(t.TempDir(), "outer", "inner")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for folder := dir; folder != filepath.Clean(os.TempDir()); folder = filepath.Dir(folder) {
		require.NoError(t, os.Chmod(folder, 0o755))
	}
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	require.NoError(t, checkReadable(stranger, dir))
	require.NoError(t, os.Chmod(dir, 0o750))
	require.ErrorContains(t, checkReadable(stranger, dir), dir+" cannot be read by user number 4000000")
	require.ErrorContains(t, checkReadable(stranger, link), dir+" cannot be read")
	require.NoError(t, checkReadable(&virt.QEMUAccount{UID: 4_000_000, GID: uint32(gid)}, dir))
	require.NoError(t, checkReadable(&virt.QEMUAccount{UID: 4_000_000, GID: 4_000_000, Groups: []uint32{uint32(gid)}}, dir))
	require.NoError(t, os.Chmod(dir, 0o711))
	require.Error(t, checkReadable(stranger, dir))
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o700))
	require.ErrorContains(t, checkReadable(stranger, dir), filepath.Dir(dir)+" cannot be passed through by user")
	require.NoError(t, checkReadable(&virt.QEMUAccount{UID: uint32(uid), GID: 4_000_000}, dir))
	var unknown *virt.QEMUAccount
	require.NoError(t, checkReadable(unknown, dir))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711))
	require.NoError(t, checkReadable(stranger, dir))
}

func TestFailedStartNamesTheMappingThatCausedIt(t *testing.T) {
	f := foldersOf(t, `nat_host { libvirtBaseDomain = base, fsMapping { fast { hostPath = /a, driver = virtiofs, readOnly = no }, data { hostPath = /b, driver = 9p } } }`)
	for _, e := range f.Entries {
		f.Mappings = append(f.Mappings, &mapping{Entry: e})
	}
	for said, want := range map[string]string{
		"libvirt: operation failed: Unable to find a satisfying virtiofsd":                     "nat_host.fsMapping.fast.driver: virtiofs needs the program virtiofsd",
		"libvirt: 'virtio-9p-pci' is not a valid device model name":                            "nat_host.fsMapping.data.driver: the hypervisor's QEMU has no 9p",
		"libvirt: cannot initialize fsdev 'fsdev-fs0': failed to open '/b': Permission denied": "nat_host.fsMapping.data.hostPath: the clone cannot have /b",
		"libvirt: internal error: the virtiofs export directory '/a' does not exist":           "nat_host.fsMapping.fast.hostPath: the clone cannot have /a",
		"libvirt: cannot initialize fsdev 'fsdev-fs0': failed to open '/another'":              "",
		"libvirt: out of memory": "",
	} {
		cause := &libvirtError{said}
		got := f.Explain(cause)
		require.ErrorIs(t, got, cause)
		if want == "" {
			assert.Equal(t, said, got.Error())
			continue
		}
		assert.Contains(t, got.Error(), said)
		assert.Contains(t, got.Error(), want)
	}
	assert.NoError(t, f.Explain(nil))
}

type libvirtError struct{ text string }

func (e *libvirtError) Error() string { return e.text }

func TestFoldersWithMountAtAreMounted(t *testing.T) {
	f := foldersOf(t, `nat_host { libvirtBaseDomain = base, connection.url = "ssh://root@{0}", fsMapping {
		inner { hostPath = /a, mountAt = /data/inner, readOnly = no }, no { hostPath = /b }, outer { hostPath = /c, mountAt = /data/ } } }`)
	for _, e := range f.Entries {
		e.Driver = mount.NineP
		f.Mappings = append(f.Mappings, &mapping{Entry: e})
	}
	mounts := f.Mounts()
	require.Len(t, mounts, 2)
	assert.Equal(t, mount.Guest{Tag: "outer", Path: "/data", Driver: mount.NineP, ReadOnly: true}, mounts[0])
	assert.Equal(t, mount.Guest{Tag: "inner", Path: "/data/inner", Driver: mount.NineP}, mounts[1])
}

func TestNamesOfFolderCopiesAndPoolsAreParsed(t *testing.T) {
	clone := owner.NewName("web", owner.Self())
	for _, suffix := range []string{"-fs0", "-fs12", "-look1"} {
		made, ok := owner.ParseName(clone + suffix)
		require.True(t, ok, suffix)
		assert.Equal(t, clone, made.Clone)
	}
}
