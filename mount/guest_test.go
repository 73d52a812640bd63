package mount_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/mount"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runLogged runs a command in a shell of this machine. The program (mount or
// umount) is a script that logs its arguments, as the real one needs root.
func runLogged(t *testing.T, program, command string) (calls string, out []byte, err error) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	require.NoError(t, os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\nfor word; do printf '[%s]' \"$word\"; done >>"+log+"\n[ -z \"$FAIL\" ] || { echo \"$FAIL\" >&2; exit 32; }\n"), 0o755))
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err = cmd.CombinedOutput()
	text, _ := os.ReadFile(log)
	return string(text), out, err
}

func TestMountCommand(t *testing.T) {
	point := filepath.Join(t.TempDir(), "it's", `a "folder"`)
	guest := mount.Guest{Tag: "it's$HOME", Path: point, Driver: mount.NineP, ReadOnly: true}
	calls, out, err := runLogged(t, "mount", guest.MountCommand())
	require.NoError(t, err, string(out))
	assert.DirExists(t, point)
	assert.Equal(t, "[-t][9p][-o][trans=virtio,version=9p2000.L,msize=512000,ro][it's$HOME]["+point+"]", calls)

	for want, guest := range map[string]mount.Guest{
		"[-t][9p][-o][trans=virtio,version=9p2000.L,msize=512000]": {Driver: mount.NineP},
		"[-t][virtiofs]":         {Driver: mount.VirtioFS},
		"[-t][virtiofs][-o][ro]": {Driver: mount.VirtioFS, ReadOnly: true},
	} {
		guest.Tag, guest.Path = "tag", point
		calls, _, err = runLogged(t, "mount", guest.MountCommand())
		require.NoError(t, err)
		assert.Equal(t, want+"[tag]["+point+"]", calls)
	}
}

func TestMountCommandDoesNothingIfAlreadyMounted(t *testing.T) {
	calls, out, err := runLogged(t, "mount", mount.Guest{Tag: "proc", Path: "/proc", Driver: mount.NineP}.MountCommand())
	require.NoError(t, err)
	assert.Empty(t, calls)
	assert.Equal(t, "already\n", string(out))
}

func TestMountCommandKeepsTheExitCodeAndOutput(t *testing.T) {
	t.Setenv("FAIL", "mount: mounting data on /data failed: Invalid argument")
	_, out, err := runLogged(t, "mount", mount.Guest{Tag: "data", Path: t.TempDir(), Driver: mount.NineP}.MountCommand())
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 32, exit.ExitCode())
	assert.Contains(t, string(out), "Invalid argument\n")
	if _, err := os.Stat("/sys/bus/virtio/drivers/9pnet_virtio"); err != nil { // as on most machines that run tests
		failed := mount.Guest{Tag: "data", Path: "/data", Driver: mount.NineP}.Failed(string(out))
		assert.ErrorIs(t, failed, mount.ErrNoDriver)
		var typed *mount.Error
		require.ErrorAs(t, failed, &typed)
		assert.Equal(t, "mount: mounting data on /data failed: Invalid argument\n", typed.Output)
	}
}

func TestUnmountCommand(t *testing.T) {
	calls, _, err := runLogged(t, "umount", mount.Guest{Path: "/it's mine"}.UnmountCommand())
	require.NoError(t, err)
	assert.Equal(t, "[/it's mine]", calls)
	t.Setenv("FAIL", "target is busy")
	calls, _, err = runLogged(t, "umount", mount.Guest{Path: "/data"}.UnmountCommand())
	assert.Error(t, err)
	assert.Equal(t, "[/data][-l][/data]", calls)
}

func TestInOrderReturnsParentsFirst(t *testing.T) {
	var order []string
	for _, g := range mount.InOrder([]mount.Guest{{Path: "/data/deep/er"}, {Path: "/z"}, {Path: "/data"}, {Path: "/data/deep"}}) {
		order = append(order, g.Path)
	}
	assert.Equal(t, []string{"/data", "/data/deep", "/data/deep/er", "/z"}, order)
}

func TestFailedExplainsTheOutputOfMount(t *testing.T) {
	ninep := mount.Guest{Tag: "data", Path: "/data", Driver: mount.NineP}
	fast := mount.Guest{Tag: "fast", Path: "/fast", Driver: mount.VirtioFS}
	const add9P, addVirtioFS = "update-initramfs", "add-drivers virtiofs"
	for name, test := range map[string]struct {
		guest    mount.Guest
		output   string
		noDriver bool
		hint     string
	}{
		"busybox, no 9p":               {ninep, "mount: mounting data on /data failed: No such device\n", true, add9P},
		"util-linux, no 9p":            {ninep, "mount: /data: unknown filesystem type '9p'.\n       dmesg(1) may have more information after failed mount system call.\n", true, add9P},
		"older util-linux, no 9p":      {ninep, "mount: unknown filesystem type '9p'\n", true, add9P},
		"busybox, no transport":        {ninep, "mount: mounting data on /data failed: Invalid argument\novercast: not in the guest's kernel: 9pnet_virtio\n", true, "9p 9pnet_virtio"},
		"util-linux, no transport":     {ninep, "mount: /data: wrong fs type, bad option, bad superblock on data, missing codepage or helper program, or other error.\novercast: not in the guest's kernel: 9pnet_virtio\n", true, add9P},
		"util-linux, no virtiofs":      {fast, "mount: /fast: unknown filesystem type 'virtiofs'.\n", true, addVirtioFS},
		"busybox, a bad option":        {ninep, "mount: mounting data on /data failed: Invalid argument\n", false, ""},
		"busybox, no tag":              {ninep, "mount: mounting data on /data failed: No such file or directory\n", false, "no device with the mount tag data"},
		"util-linux, no tag":           {ninep, "mount: /data: special device data does not exist.\n", false, "no device with the mount tag data"},
		"util-linux, mounted already":  {ninep, "mount: /data: data already mounted or mount point busy.\n", false, "at another path"},
		"busybox, mounted already":     {ninep, "mount: mounting data on /data failed: Device or resource busy\n", false, "at another path"},
		"busybox, not root":            {ninep, "mount: permission denied (are you root?)\novercast: not in the guest's kernel: 9p\n", false, "connectionType=SUDO"},
		"util-linux, not root":         {ninep, "mount: /data: must be superuser to use mount.\n", false, "connectionType=SUDO"},
		"not root, no folder":          {ninep, "mkdir: cannot create directory '/data': Permission denied\n", false, "connectionType=SUDO"},
		"QEMU may not read the folder": {ninep, "mount: mounting data on /data failed: Permission denied\n", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.guest.Failed(test.output)
			assert.Equal(t, test.noDriver, errors.Is(err, mount.ErrNoDriver))
			assert.Contains(t, err.Error(), "mounting "+test.guest.Tag+" at "+test.guest.Path)
			assert.Contains(t, err.Error(), test.hint)
			assert.NotContains(t, err.Error(), "overcast:")
			if test.hint == "" {
				assert.NotContains(t, err.Error(), "\n")
			}
		})
	}
}
