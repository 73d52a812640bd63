package main

import (
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	for _, command := range newRoot().Commands() {
		t.Run(command.Name(), func(t *testing.T) {
			code, out, stderr := overcast(t, "", command.Name(), "--help")
			assert.Equal(t, 0, code)
			assert.Empty(t, stderr)
			assert.Contains(t, out, "usage: overcast "+command.Name())
			assert.Contains(t, out, "examples:\n  overcast "+command.Name())
			assert.NotEmpty(t, command.Short)
			for n, line := range strings.Split(out, "\n") {
				assert.LessOrEqual(t, len(line), 100, "line %d: %s", n+1, line)
			}
		})
	}
}

func TestHelpListsTheCommands(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}} {
		code, out, _ := overcast(t, "", args...)
		assert.Equal(t, 0, code)
		for _, command := range newRoot().Commands() {
			assert.Regexp(t, `(?m)^  `+command.Name()+` `, out)
		}
		assert.Regexp(t, `(?m)^  completion `, out)
	}
}

func TestUnknownCommandsNameTheNearest(t *testing.T) {
	for given, want := range map[string]string{
		"confgi": `unknown command "confgi": did you mean config?`,
		"docter": `unknown command "docter": did you mean doctor?`,
		"zzzzzz": `unknown command "zzzzzz": there are `,
	} {
		code, out, stderr := overcast(t, "", given, "web")
		assert.Equal(t, 2, code)
		assert.Empty(t, out)
		assert.Contains(t, stderr, want)
	}
}

func TestUnknownFlagsAreAUsageError(t *testing.T) {
	for _, command := range newRoot().Commands() {
		code, out, stderr := overcast(t, "", command.Name(), "--no-such-flag")
		assert.Equal(t, 2, code, command.Name())
		assert.Empty(t, out)
		assert.Contains(t, stderr, "--no-such-flag")
	}
	_, _, stderr := overcast(t, "", "ls", "--password=bigsecret")
	assert.NotContains(t, stderr, "bigsecret")
}

func TestVersionNamesGo(t *testing.T) {
	code, out, _ := overcast(t, "", "version")
	assert.Equal(t, 0, code)
	assert.Regexp(t, `^overcast \S+.*, go1\.\S+ \w+/\w+\n$`, out)
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, out, stderr := overcast(t, "", "completion", shell)
		assert.Equal(t, 0, code, stderr)
		assert.Contains(t, out, "overcast")
	}
}

// completions are the words that a shell would offer.
func completions(t *testing.T, conf string, args ...string) []string {
	t.Helper()
	code, out, _ := overcast(t, conf, append([]string{cobra.ShellCompNoDescRequestCmd}, args...)...)
	require.Equal(t, 0, code)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[:len(lines)-1] // the last line is for the shell
}

func TestLabelsAndHypervisorsAreCompleted(t *testing.T) {
	const conf = `
web { libvirtBaseDomain = a, libvirtURL = "qemu+ssh://u:bigsecret@big/system" }
db { libvirtBaseDomain = a, libvirtURL = "qemu:///session" }`
	assert.ElementsMatch(t, []string{"web", "db"}, completions(t, conf, "doctor", ""))
	assert.Equal(t, []string{"web"}, completions(t, conf, "doctor", "db", ""))
	assert.ElementsMatch(t, []string{"web", "db"}, completions(t, conf, "config", ""))
	assert.Empty(t, completions(t, conf, "config", "web", ""))
	assert.ElementsMatch(t, []string{"qemu+ssh://u:********@big/system", "qemu:///session"}, completions(t, conf, "ls", "-c", ""))
}

func TestDoctorWithoutHostsFails(t *testing.T) {
	code, _, stderr := overcast(t, "a = 1", "doctor")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "the configuration declares no host (read from overcast.conf): add a section")
}

func TestAdviceIsNotMasked(t *testing.T) {
	for _, err := range []error{credentials.ErrKeyEncrypted} {
		assert.Equal(t, err.Error(), redact.Text(err.Error()))
	}
}

func TestDoctorSkipsTemplatesAndChecksAllLabels(t *testing.T) {
	const conf = `template { connection.url = "ssh://root@{0}" }
one = ${template} { libvirtURL = "test:///default", libvirtBaseDomain = test }
two = ${template} { libvirtURL = "test:///default", libvirtBaseDomain = missing }`
	code, out, _ := overcast(t, conf, "doctor")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?m)^FAILED  one: base domain: base domain "test" at test:///default is running`, out)
	assert.Regexp(t, `(?m)^FAILED  two: base domain: base domain "missing" does not exist`, out)
	assert.NotContains(t, out, "template")
	code, out, _ = overcast(t, conf, "doctor", "two", "one")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?s)FAILED  two: .*FAILED  one: `, out)
}

// Hosts below the top level of the configuration are hosts as well: for doctor without
// labels, and for ls and gc, which ask the hypervisors of all hosts.
func TestCommandsFindHostsBelowTheTopLevel(t *testing.T) {
	const conf = `cluster.nodes { one { libvirtURL = "test:///default", libvirtBaseDomain = missing } }`
	code, out, _ := overcast(t, conf, "doctor")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?m)^FAILED  cluster\.nodes\.one: base domain: base domain "missing" does not exist`, out)
	for _, command := range []string{"ls", "gc"} {
		code, _, stderr := overcast(t, strings.Replace(conf, "default", "nowhere.xml", 1), command)
		assert.Equal(t, 1, code, command)
		assert.Contains(t, stderr, "test:///nowhere.xml", "%s asks the hypervisor of the host", command)
	}
}
