package matchers_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	. "github.com/overcast-go/overcast/matchers"
)

// write writes a file with a mode, independent of the umask.
func write(t *testing.T, file, content string, mode os.FileMode) string {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	require.NoError(t, os.Chmod(file, mode))
	return file
}

func TestHaveFile(t *testing.T) {
	host, server := serve(t, sshtest.Config{})
	me, err := user.Current()
	require.NoError(t, err)
	file := write(t, filepath.Join(server.Dir, "file"), "one\ntwo\n", 0o640)
	looks := HaveFile(file).WithMode(0o640).WithOwner(me.Username).WithContent("one\ntwo\n")
	ok, err := looks.Match(host)
	require.NoError(t, err)
	assert.True(t, ok, looks.FailureMessage(host))
	assert.Contains(t, looks.NegatedFailureMessage(host), fmt.Sprintf("not to have the file %s, with mode -rw-r-----, with owner %q, with content \"one\\ntwo\\n\"\n", file, me.Username))
	assert.Contains(t, looks.NegatedFailureMessage(host), fmt.Sprintf("\nfound: it has mode -rw-r----- and owner %s, and content \"one\\ntwo\\n\"\n", me.Username))
	last := func() string { commands := server.Commands(); return commands[len(commands)-1] }
	readable := HaveFile(file)
	ok, err = readable.Match(host)
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, fmt.Sprintf("Expected\n    %s, as tester\nnot to have the file %s\ntried: %s\nfound: it has mode -rw-r----- and owner %s\nattempts: 1",
		host, file, last(), me.Username), readable.NegatedFailureMessage(host))
	other := HaveFile(file).WithMode(0o600)
	ok, err = other.Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Equal(t, fmt.Sprintf("Expected\n    %s, as tester\nto have the file %s, with mode -rw-------\ntried: %s\nfound: it has mode -rw-r-----\nattempts: 1",
		host, file, last()), other.FailureMessage(host))
	for name, test := range map[string]struct {
		matcher matcher
		want    string
	}{
		"mode":             {HaveFile(file).WithMode(0o4640), "\nfound: it has mode -rw-r-----\n"},
		"mode by FileMode": {HaveFile(file).WithMode(fs.FileMode(0o644)), "\nfound: it has mode -rw-r-----\n"},
		"mode by matcher":  {HaveFile(file).WithMode(BeNumerically("<", 0o600)), "\nfound: it has mode -rw-r-----\n"},
		"owner":            {HaveFile(file).WithOwner("no-such-user"), "to equal\n        <string>: no-such-user\n"},
		"content":          {HaveFile(file).WithContent(ContainSubstring("three")), "to contain substring\n        <string>: three\n"},
		"missing":          {HaveFile(file + "s"), "\nfound: no such file\n"},
		"missing folder":   {HaveFile(file + "/below/it"), "\nfound: no such file\n"},
		"a folder":         {HaveFile(server.Dir).WithContent("anything"), "\nfound: it is a folder: it has mode d"},
	} {
		t.Run(name, func(t *testing.T) {
			ok, err := test.matcher.Match(host)
			require.NoError(t, err)
			assert.False(t, ok)
			assert.Contains(t, test.matcher.FailureMessage(host), test.want)
		})
	}
}

func TestHaveFileReadsAllModes(t *testing.T) {
	host, server := serve(t, sshtest.Config{})
	for _, mode := range []int{0, 0o777, 0o4755, 0o2710, 0o1770, 0o4644, 0o2644, 0o1644} {
		t.Run(fmt.Sprintf("%o", mode), func(t *testing.T) {
			file := write(t, filepath.Join(server.Dir, fmt.Sprint(mode)), "", fs.FileMode(mode&0o777))
			look := RunCommand(fmt.Sprintf("chmod %o '%s'", mode, file))
			ok, err := look.Match(host)
			require.NoError(t, err)
			require.True(t, ok)
			same := HaveFile(file).WithMode(mode)
			ok, err = same.Match(host)
			require.NoError(t, err)
			assert.True(t, ok, same.FailureMessage(host))
		})
	}
}

func TestHaveFileFindsAnyName(t *testing.T) {
	host, server := serve(t, sshtest.Config{})
	for _, name := range []string{"a b", "it's", `say "so"`, "line\nend\n", "-rf", "$HOME", "`id`", "*", `back\slash`, "über", ";exit 3", "\x01"} {
		t.Run(name, func(t *testing.T) {
			file := write(t, filepath.Join(server.Dir, name), "in "+name, 0o644)
			for want, m := range map[bool]matcher{true: HaveFile(file).WithContent("in " + name).WithMode(0o644), false: HaveFile(file + "s")} {
				ok, err := m.Match(host)
				require.NoError(t, err)
				assert.Equal(t, want, ok, m.FailureMessage(host))
			}
		})
	}
}

func TestHaveFileFollowsLinks(t *testing.T) {
	host, server := serve(t, sshtest.Config{})
	file := write(t, filepath.Join(server.Dir, "file"), "content", 0o600)
	good, bad := filepath.Join(server.Dir, "good"), filepath.Join(server.Dir, "bad")
	require.NoError(t, os.Symlink(file, good))
	require.NoError(t, os.Symlink("nowhere", bad))
	ok, err := HaveFile(good).WithMode(0o600).WithContent("content").Match(host)
	require.NoError(t, err)
	assert.True(t, ok)
	m := HaveFile(bad)
	ok, err = m.Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
	commands := server.Commands()
	assert.Equal(t, fmt.Sprintf(`Expected
    %s, as tester
to have the file %s
tried: %s
found: it is a symbolic link to a missing file
attempts: 1`, host, bad, commands[len(commands)-1]), m.FailureMessage(host))
}

// unprivileged runs commands as user 65534 if the test runs as root.
func unprivileged(ctx context.Context, cmd string, s sshtest.Session) int {
	shell := exec.CommandContext(ctx, "/bin/sh", "-c", cmd)
	shell.Stdout, shell.Stderr = s.Stdout, s.Stderr
	if os.Geteuid() == 0 {
		shell.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	_ = shell.Run()
	return shell.ProcessState.ExitCode()
}

func TestHaveFileWithoutAccessIsAnError(t *testing.T) {
	host, _ := serve(t, sshtest.Config{Exec: unprivileged})
	open := t.TempDir()
	for _, folder := range []string{open, filepath.Dir(open)} {
		require.NoError(t, os.Chmod(folder, 0o755))
	}
	closed := filepath.Join(open, "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	write(t, filepath.Join(closed, "file"), "", 0o644)
	if os.Geteuid() != 0 {
		require.NoError(t, os.Chmod(closed, 0))
		t.Cleanup(func() { _ = os.Chmod(closed, 0o700) })
	}
	for _, hidden := range []string{"/file", "/a/b/c"} {
		m := HaveFile(closed + hidden)
		_, err := m.Match(host)
		require.Error(t, err)
		assert.Contains(t, err.Error(), "\nlast error: the user may not search a folder above the file\nattempts: 1")
		assert.NotEmpty(t, failureOf(func(g Gomega) { g.Expect(host).NotTo(m) }))
	}
	ok, err := HaveFile(filepath.Join(open, "not-there")).Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
	unreadable := write(t, filepath.Join(open, "unreadable"), "secret", 0o000)
	_, err = HaveFile(unreadable).WithContent("").Match(host)
	require.Error(t, err)
	ok, err = HaveFile(unreadable).WithMode(0).Match(host)
	require.NoError(t, err)
	assert.True(t, ok)
}

func TestHaveFileRefusesAnInvalidPath(t *testing.T) {
	host := answers(t, fixture.Result{})
	unknown(t, HaveFile("a"), host, `HaveFile: "a" is not an absolute path`)
	unknown(t, HaveFile(""), host, `HaveFile: the path is empty`)
	unknown(t, HaveFile("/a\x00"), host, `HaveFile: the path "/a\x00" contains a zero byte`)
}
