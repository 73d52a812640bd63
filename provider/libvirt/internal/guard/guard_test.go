package guard

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Environment variables of helper processes.
const (
	parentVariable = "GUARD_TEST_PARENT" // the process has a guard process, with these lines
	fileVariable   = "GUARD_TEST_FILE"   // what a guard process writes when its parent has ended
)

// TestMain is also the main function of helper processes.
func TestMain(m *testing.M) {
	if lines, ok := Orphaned(); ok {
		text := strings.Join(append(lines, "variable: "+os.Getenv(variable)), "\n")
		unfinished := os.Getenv(fileVariable) + "~"
		_ = os.WriteFile(unfinished, []byte(text), 0o600)
		_ = os.Rename(unfinished, os.Getenv(fileVariable))
		os.Exit(0)
	}
	if lines := os.Getenv(parentVariable); lines != "" {
		parent(strings.Fields(lines))
	}
	os.Exit(m.Run())
}

// parent prints the PID of its guard process, and ends it when its standard input ends.
func parent(lines []string) {
	var g Guard
	for _, line := range lines {
		release, err := g.Acquire(line)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		defer release()
	}
	fmt.Println(g.process.Process.Pid)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// helper is a process that has a guard process.
type helper struct {
	*exec.Cmd
	guard int    // PID
	file  string // of the guard process
}

func startParent(t *testing.T, lines string, files ...*os.File) helper {
	t.Helper()
	h := helper{Cmd: exec.Command(os.Args[0]), file: filepath.Join(t.TempDir(), "lines")}
	h.Env = append(os.Environ(), parentVariable+"="+lines, fileVariable+"="+h.file)
	h.ExtraFiles = files
	h.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	_, err := h.StdinPipe()
	require.NoError(t, err)
	out, err := h.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, h.Start())
	t.Cleanup(func() { _ = h.Process.Kill(); _ = h.Wait() })
	_, err = fmt.Fscan(bufio.NewReader(out), &h.guard)
	require.NoError(t, err)
	return h
}

// isRunning reports whether a process exists and is no zombie.
func isRunning(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

const waitTimeout = time.Minute

func requireEnd(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return !isRunning(pid) }, waitTimeout, 10*time.Millisecond)
}

// requireGuard waits until a process is a guard process, which ignores signals.
func requireGuard(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return err == nil && string(comm) == name+"\n"
	}, waitTimeout, 10*time.Millisecond)
}

func TestAGuardProcessSurvivesTheProcessGroupOfItsParentAndEndsByItself(t *testing.T) {
	h := startParent(t, "one two one")
	requireGuard(t, h.guard)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		require.NoError(t, syscall.Kill(h.guard, signal))
	}
	assert.True(t, isRunning(h.guard))
	require.NoError(t, syscall.Kill(-h.Process.Pid, syscall.SIGKILL))
	requireEnd(t, h.guard)
	lines, err := os.ReadFile(h.file)
	require.NoError(t, err)
	assert.Equal(t, "one\ntwo\nvariable: ", string(lines), "the variable is not passed on")
}

func TestAReleasedGuardProcessEndsAndDoesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lines")
	t.Setenv(fileVariable, file)
	var g Guard
	for range 2 {
		first, err := g.Acquire("one")
		require.NoError(t, err)
		second, err := g.Acquire("two")
		require.NoError(t, err)
		pid := g.process.Process.Pid
		first()
		first()
		assert.True(t, isRunning(pid), "it has another user")
		second()
		assert.NoFileExists(t, fmt.Sprintf("/proc/%d", pid), "it has ended, and is no zombie")
	}
	assert.NoFileExists(t, file)
}

func TestAKilledGuardProcessIsReplacedForTheNextUser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lines")
	t.Setenv(fileVariable, file)
	var g Guard
	first, err := g.Acquire("one")
	require.NoError(t, err)
	killed := g.process.Process.Pid
	require.NoError(t, syscall.Kill(killed, syscall.SIGKILL))
	requireEnd(t, killed)
	second, err := g.Acquire("two")
	require.NoError(t, err)
	assert.NotEqual(t, killed, g.process.Process.Pid)
	require.NoError(t, g.pipe.Close()) // as the kernel does when this process ends
	require.NoError(t, g.process.Wait())
	lines, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "one\ntwo\nvariable: ", string(lines))
	first()
	second()
}

func TestTheVariableAloneMakesNoGuardProcess(t *testing.T) {
	for _, value := range []string{"1", "0", "x"} {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), variable+"="+value)
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err)
		assert.Contains(t, string(out), "PASS")
		_ = stdin.Close()
	}
}

func TestAGuardProcessHoldsNoFilesOfItsParent(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	h := startParent(t, "one", write)
	require.NoError(t, write.Close())
	requireGuard(t, h.guard)
	pipe, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", read.Fd()))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", h.guard))
		require.NoError(t, err)
		for _, file := range files {
			if of, _ := os.Readlink(file); of == pipe {
				return false
			}
		}
		return true
	}, waitTimeout, 10*time.Millisecond)
	for fd, want := range map[int]string{1: "/dev/null", 2: "/dev/null"} {
		is, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", h.guard, fd))
		require.NoError(t, err)
		assert.Equal(t, want, is)
	}
	assert.True(t, isRunning(h.guard))
}

func TestMappingsThatHaveChangedAreNotReturned(t *testing.T) {
	const field = "\nSize: 52 kB\nAnonymous: %s kB\nSwap: %s kB\nVmFlags: rd mr\n"
	var smaps string
	for _, m := range [][3]string{
		{"1000-2000 r--p 00000000 fe:00 1   /bin/test", "0", "0"},
		{"2000-3000 r-xp 00001000 fe:00 1   /bin/test", "0", "0"},
		{"3000-4000 r--p 00002000 fe:00 1   /bin/test", "4", "0"}, // relocations
		{"4000-5000 r--p 00002000 fe:00 1   /bin/test", "0", "4"},
		{"5000-6000 rw-p 00003000 fe:00 1   /bin/test", "0", "0"},
		{"6000-7000 r--p 00000000 00:00 0 ", "0", "0"},
		{"7000-8000 r-xp 00000000 00:00 0   [vdso]", "0", "0"},
		{"8000-9000 r--p 00000000 fe:00 2   /lib/a b.so", "0", "0"},
	} {
		smaps += m[0] + fmt.Sprintf(field, m[1], m[2])
	}
	found := unchanged(bufio.NewScanner(strings.NewReader(smaps)))
	assert.Equal(t, []mapping{{0x1000, 0x2000}, {0x2000, 0x3000}, {0x8000, 0x9000}}, found)
}

func TestAnIncompleteLineIsIgnored(t *testing.T) {
	lines, err := read(strings.NewReader("two\none\ntwo\nthr"))
	require.NoError(t, err)
	assert.Equal(t, []string{"one", "two"}, lines)
	lines, err = read(strings.NewReader(""))
	require.NoError(t, err)
	assert.Empty(t, lines)
}
