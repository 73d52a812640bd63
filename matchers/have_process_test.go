package matchers_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	. "github.com/overcast-go/overcast/matchers"
)

// processes is the output of a guest. Process 31 is the one that prints it.
const processes = "31\n" +
	"==> /proc/1/stat <==\n1 (init) S 0 1 1\n\n" +
	"==> /proc/2/stat <==\n2 (kworker/0:1) I 2 0 0\n\n" +
	"==> /proc/7/stat <==\n7 (a) (b) c) S 1 7 7\n\n" +
	"==> /proc/8/stat <==\n8 (gone) Z 1 8 8\n\n" +
	"==> /proc/9/stat <==\n9 (prometheus-node) S 1 9 9\n\n" +
	"==> /proc/31/stat <==\n31 (tail) R 1 31 31\n\n" +
	"==> /proc/1/cmdline <==\ninit\x00\n" +
	"==> /proc/2/cmdline <==\n\n" +
	"==> /proc/7/cmdline <==\n/opt/a) (b) c\x00-f\x00two words\x00\n" +
	"==> /proc/8/cmdline <==\n\n" +
	"==> /proc/9/cmdline <==\n/usr/bin/prometheus-node-exporter\x00--web\n==> x <==\x00\n" +
	"==> /proc/31/cmdline <==\ntail\x00-n\x00+1\x00"

const triedProcesses = "tried: echo $$; exec tail -n +1 /proc/[0-9]*/stat /proc/[0-9]*/cmdline 2>/dev/null\n"

func TestHaveProcess(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: processes, ExitCode: 1})
	passes(t, HaveProcess("a) (b) c"), host, text(host, `Expected
    %s, as tester
not to have a process a) (b) c
`+triedProcesses+`found: process 7: /opt/a) (b) c -f two words
attempts: 1`))
	passes(t, HaveProcess("prometheus-node-exporter"), host, text(host, `Expected
    %s, as tester
not to have a process prometheus-node-exporter
`+triedProcesses+`found:
    process 9: /usr/bin/prometheus-node-exporter --web
    ==> x <==
attempts: 1`))
	passes(t, HaveProcess(HaveSuffix("two words")), host, text(host, `Expected
    %s, as tester
not to have a process with a command line satisfying the given matcher
`+triedProcesses+`found: process 7: /opt/a) (b) c -f two words
attempts: 1`))
	passes(t, HaveProcess("kworker/0:1"), host, text(host, `Expected
    %s, as tester
not to have a process kworker/0:1
`+triedProcesses+`found: process 2: [kworker/0:1]
attempts: 1`))
	for _, none := range []string{"gone", "tail", "prometheus", "b"} {
		fails(t, HaveProcess(none), host, text(host, `Expected
    %s, as tester
to have a process `+none+`
`+triedProcesses+`found: 4 other processes
attempts: 1`))
	}
}

func TestHaveProcessFindsARealProcess(t *testing.T) {
	host, _ := serve(t, sshtest.Config{})
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "a program with a long name")
	require.NoError(t, exec.Command("cp", sleep, name).Run())
	m := HaveProcess("a program with a long name")
	ok, err := m.Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
	running := exec.Command(name, "60")
	require.NoError(t, running.Start())
	defer func() { _ = running.Wait() }()
	defer func() { _ = running.Process.Kill() }()
	ok, err = m.Match(host)
	require.NoError(t, err)
	assert.True(t, ok, m.FailureMessage(host))
}

func TestHaveProcessWithHiddenProcessesIsAnError(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: strings.Replace(processes, "/proc/1/", "/proc/4/", 1)})
	_, err := HaveProcess("nginx").Match(host)
	require.ErrorContains(t, err, "last error: listing processes: process 1 is not visible, so others may be hidden, too: the command exited with 0")
	host = answers(t, fixture.Result{Stdout: "1\n", ExitCode: 1})
	unknown(t, HaveProcess("nginx"), host, text(host, `cannot check
    %s, as tester
to have a process nginx
`+triedProcesses+`last error: listing processes: found none in /proc: the command exited with 1, stdout "1\n", stderr empty
attempts: 1`))
}

func TestHaveProcessRefusesOtherArguments(t *testing.T) {
	host := answers(t, fixture.Result{Stdout: processes})
	unknown(t, HaveProcess(7), host, "HaveProcess: the name is a string or a matcher of string, not int")
	unknown(t, HaveProcess(""), host, "HaveProcess: the name is empty")
	broken := errors.New("broken")
	_, err := HaveProcess(WithTransform(func(string) (string, error) { return "", broken }, Equal("a"))).Match(host)
	require.ErrorContains(t, err, `matching the command line "init": `)
}
