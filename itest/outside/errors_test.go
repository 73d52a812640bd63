//go:build linux

package outside

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refused asserts that a lab says one line and gives up.
func refused(t *testing.T, h how, line string) {
	t.Helper()
	l, code := run(t, h, "echo", "started all the same")
	assert.Equal(t, 125, code)
	assert.Empty(t, l.out.String())
	assert.Regexp(t, `^lab: `+line+`\n$`, l.errors.String())
}

const nobody = 65534

func TestOneLineSaysWhatToDo(t *testing.T) {
	t.Parallel()
	refused(t, how{user: nobody}, `needs root, [^\n]*: run it with sudo -E, [^\n]*`)
	refused(t, how{env: []string{"LAB_ACCEL=nonsense"}}, `LAB_ACCEL=nonsense: it must be kvm, tcg or unset`)

	// Programs are taken away on the tray: the machine keeps them.
	tr := newTray(t)
	without := func(script, line string) {
		tr.run(t, script)
		refused(t, how{tray: tr}, line)
	}
	without(`sed -i /^libvirt-qemu:/d /etc/passwd`, `account libvirt-qemu, [^\n]* is missing: reinstall package libvirt-daemon-system`)
	without(`rm "$(command -v cpio)"`, `missing cpio: run make deps, or apt-get install --no-install-recommends cpio`)
	without(`rm "$(command -v libvirtd)" "$(command -v virtlogd)"`,
		`missing libvirtd, virtlogd, cpio: run make deps, or apt-get install --no-install-recommends libvirt-daemon-system cpio`)
	without(`rm "$(command -v apt-get)"`, `needs a Debian-like system: [^\n]*; README says [^\n]*`)
}

func TestOtherSystemsGetALabThatOnlyRefuses(t *testing.T) {
	t.Parallel()
	list := exec.Command("go", "list", "-f", "{{.GoFiles}}", "./itest/lab")
	list.Dir, list.Env = repository, append(os.Environ(), "GOOS=darwin", "CGO_ENABLED=0")
	out, err := list.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, "[doc.go other.go]", strings.TrimSpace(string(out)))
}

// failing puts a program of this name into PATH that complains and fails.
func failing(t *testing.T, name string) how {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\necho \"" + name + " is broken on purpose\" >&2\nexit 1\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	return how{env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")}}
}

func TestAFailedStepShowsTheLogThatSaysWhy(t *testing.T) {
	t.Parallel()
	l, code := run(t, failing(t, "libvirtd"), "true")
	assert.Equal(t, 125, code)
	_, said, _ := strings.Cut(l.errors.String(), "lab: starting libvirt ...")
	assert.Equal(t, " failed\nlab: end of libvirtd.log:\n    libvirtd is broken on purpose\n"+
		"lab: starting libvirt: libvirtd ended at once: exit status 1\n", said)

	// Here libvirtd's own log says why, between lines that every lab has.
	l, code = run(t, failing(t, "dnsmasq"), "true")
	assert.Equal(t, 125, code)
	_, said, _ = strings.Cut(l.errors.String(), "lab: defining networks ...")
	assert.Contains(t, said, " failed\nlab: end of libvirtd-warnings.log:\n    ")
	assert.Contains(t, said, "dnsmasq is broken on purpose")
	for _, noise := range []string{"D-?Bus", "dmidecode", "End of file", "libvirtd.log", "sshd.log"} {
		assert.NotRegexp(t, noise, said)
	}
}
