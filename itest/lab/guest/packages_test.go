//go:build linux

package guest

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPackageNamesLeaveOutWhatIsVirtualOrForeign(t *testing.T) {
	names := packageNames("qemu-guest-agent\n  Depends: libc6\n |Depends: debconf\n  Depends: <debconf-2.0>\n    cdebconf\nlibc6\n<debconf-2.0>\nlibc6:i386\nlibglib2.0-0t64\n")
	assert.Equal(t, []string{"qemu-guest-agent", "libc6", "libglib2.0-0t64"}, names)
}

func TestLibrariesComeFromDependencies(t *testing.T) {
	known := map[string]source{}
	for _, s := range []source{
		{name: "agent", section: "otherosfs", depends: ",libglib (>= 2.78.0), init-helpers,libnew | libold (= 1)"},
		{name: "busybox", section: "shells"},
		{name: "unused", section: "libs"},
		{name: "init-helpers", section: "admin", depends: ",libunwanted"},
		{name: "libglib", section: "universe/libs", depends: ",libc:any (>= 2.38)"},
		{name: "libc", section: "libs", depends: ",libgcc"},
		{name: "libgcc", section: "libs", depends: ",libc"},
		{name: "libold", section: "libs"},
		{name: "libunwanted", section: "libs"},
	} {
		s.sha256 = "aa"
		known[s.name] = s
	}
	known["libnew"] = source{name: "libnew", section: "libs"} // no such file at the mirror
	var names []string
	for _, s := range withLibraries(known, []string{"agent", "busybox"}) {
		names = append(names, s.name)
	}
	assert.Equal(t, []string{"agent", "busybox", "libc", "libgcc", "libglib", "libold"}, names)
}

func TestKernelFilesAreFoundInBothLayoutsAndCompressed(t *testing.T) {
	k := kernelTree{release: "6.1"}
	parts := []string{"fs/9p", "drivers/virtio", "fs/mbcache.ko"}
	for name, want := range map[string]bool{
		"boot/vmlinuz-6.1":                                     true,
		"boot/config-6.1":                                      false,
		"lib/modules/6.1/kernel/fs/9p/9p.ko":                   true,
		"usr/lib/modules/6.1/kernel/fs/9p/9p.ko.xz":            true,
		"usr/lib/modules/6.1/kernel/fs/mbcache.ko.zst":         true,
		"lib/modules/6.1/kernel/fs/9plus/other.ko":             false,
		"lib/modules/6.1/kernel/drivers/virtio_extra/other.ko": false,
		"lib/modules/6.1/modules.builtin.modinfo":              true,
		"lib/modules/6.2/kernel/fs/9p/9p.ko":                   false,
	} {
		assert.Equal(t, want, k.wants(name, parts), name)
	}
}

func TestModulesAreReadDecompressed(t *testing.T) {
	dir := t.TempDir()
	for name, command := range map[string]string{"plain.ko": "cat", "one.ko.xz": "xz -c", "two.ko.zst": "zstd -qc", "three.ko.gz": "gzip -c"} {
		program, _, _ := strings.Cut(command, " ")
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v: make deps installs it", err)
		}
		packed, err := run(t.Context(), "", "sh", "-c", "printf module | "+command)
		require.NoError(t, err)
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, packed, 0o644))
		base, module, err := kernelTree{ctx: t.Context()}.readModule(path)
		require.NoError(t, err)
		assert.Equal(t, "module", string(module), name)
		assert.Regexp(t, `^[a-z]+\.ko$`, base)
	}
}

func TestExtractTakesOnlyTheFilesThatHaveAPlace(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, header := range []tar.Header{
		{Name: "./usr/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./usr/wanted", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4},
		{Name: "./usr/other", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4},
		{Name: "./usr/link", Typeflag: tar.TypeSymlink, Linkname: "wanted"},
	} {
		require.NoError(t, w.WriteHeader(&header))
		_, err := w.Write(bytes.Repeat([]byte("x"), int(header.Size)))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	dir := t.TempDir()
	require.NoError(t, extract(tar.NewReader(&archive), func(name string) string {
		if name == "usr/other" {
			return ""
		}
		return filepath.Join(dir, name)
	}))
	found, err := filepath.Glob(dir + "/usr/*")
	require.NoError(t, err)
	assert.Equal(t, []string{dir + "/usr/wanted"}, found)
}

func TestUsrIsMergedWhateverThePackageHas(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "lib/x86"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/lib/x86"), 0o755))
	write(t, filepath.Join(root, "lib/x86/libc"), "c")
	write(t, filepath.Join(root, "usr/lib/x86/libz"), "z")
	for range 2 {
		require.NoError(t, mergeUsr(t.Context(), root))
		for path, want := range map[string]string{"lib": "usr/lib", "lib64": "usr/lib64", "bin": "usr/bin", "sbin": "usr/sbin"} {
			target, err := os.Readlink(filepath.Join(root, path))
			require.NoError(t, err)
			assert.Equal(t, want, target)
		}
		for _, path := range []string{"lib/x86/libc", "usr/lib/x86/libc", "lib/x86/libz"} {
			assert.FileExists(t, filepath.Join(root, path))
		}
	}
}

func TestSimulatedInstallListsVersions(t *testing.T) {
	aptGetPrints(t, "NOTE: This is only a simulation!\nInst libc6 (2.36-9 Debian:12.15/oldstable [amd64]) []\nInst adduser (3.134 Debian:12.15/oldstable [all])\nConf libc6 (2.36-9 Debian:12.15/oldstable [amd64])\n")
	list, err := simulateInstall(t.Context(), []string{"adduser"})
	require.NoError(t, err)
	assert.Equal(t, []source{{name: "adduser", version: "3.134"}, {name: "libc6", version: "2.36-9"}}, list)
}

func TestSourcesAreThoseOfTheDistributionOnly(t *testing.T) {
	aptGetPrints(t, "Debian deb http://mirror.example/debian/ bookworm main\nElsewhere deb http://other.example/ bookworm main\nDebian deb http://mirror.example/security/ bookworm-security main\n")
	lines, err := release{id: "debian", codename: "bookworm"}.sources(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "deb http://mirror.example/debian/ bookworm main\ndeb http://mirror.example/security/ bookworm-security main\n", lines)
	_, err = release{id: "ubuntu", codename: "noble"}.sources(t.Context())
	assert.ErrorContains(t, err, "apt has no lists of packages from ubuntu")
}

// aptGetPrints puts a program of that name first in PATH which prints a text.
func aptGetPrints(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "text"), text)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\ncat "+dir+"/text\n"), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}
