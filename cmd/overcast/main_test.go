package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
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

func TestUnknownFlagsNameTheNearest(t *testing.T) {
	for line, want := range map[string]string{
		"gc --dryrun":    "overcast: unknown flag --dryrun: did you mean --dry-run?\n",
		"ls --jsno":      "overcast: unknown flag --jsno: did you mean --json?\n",
		"ls --zzzzzz":    "overcast: unknown flag --zzzzzz: there are --connect, --help, --json\n",
		"ls -z":          "overcast: unknown flag -z: there are --connect, --help, --json\n",
		"version --jsno": "overcast: unknown flag --jsno: there is --help\n",
	} {
		code, out, stderr := overcast(t, "", strings.Fields(line)...)
		assert.Equal(t, 2, code, line)
		assert.Empty(t, out)
		assert.True(t, strings.HasPrefix(stderr, want), "%s: %s", line, stderr)
	}
}

func TestVersionNamesGo(t *testing.T) {
	code, out, _ := overcast(t, "", "version")
	assert.Equal(t, 0, code)
	assert.Regexp(t, `^overcast \S+.*, go1\.\S+ \w+/\w+\n$`, out)
	_, flag, _ := overcast(t, "", "--version")
	assert.Equal(t, out, flag)
}

func TestWrongNumbersOfArgumentsAreNamed(t *testing.T) {
	for line, want := range map[string]string{
		"up":            "overcast: a label is missing\n",
		"ssh-config":    "overcast: a label is missing\n",
		"console":       "overcast: a label is missing\n",
		"console a b":   `overcast: unexpected argument "b"` + "\n",
		"cp a:x":        "overcast: SOURCE or TARGET is missing\n",
		"image import":  "overcast: an image (FILE or URL) is missing\n",
		"version a":     `overcast: unexpected argument "a"` + "\n",
		"init web db":   `overcast: unexpected argument "db"` + "\n",
		"config web db": `overcast: unexpected argument "db"` + "\n",
	} {
		code, _, stderr := overcast(t, "", strings.Fields(line)...)
		assert.Equal(t, 2, code, line)
		assert.True(t, strings.HasPrefix(stderr, want), stderr)
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, out, stderr := overcast(t, "", "completion", shell)
		assert.Equal(t, 0, code, stderr)
		assert.Contains(t, out, "overcast")
	}
	code, out, stderr := overcast(t, "", "completion", "tcsh")
	assert.Equal(t, 2, code)
	assert.Empty(t, out)
	assert.Contains(t, stderr, `unknown shell "tcsh": there are bash, fish, powershell, zsh`)
	code, _, stderr = overcast(t, "", "completion")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "a shell is missing: bash, fish, powershell, zsh")
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

func TestPoolsOfTheHypervisorAreCompleted(t *testing.T) {
	const conf = `web { libvirtBaseDomain = a, libvirtURL = "test:///default" }`
	assert.Equal(t, []string{"default-pool"}, completions(t, conf, "image", "import", "--pool", ""))
	assert.Empty(t, completions(t, conf, "image", "import", "-c", "test:///nowhere.xml", "--pool", ""))
	assert.Empty(t, completions(t, conf, "cache", "prune", ""), "it has no layers; a spec of the lab has one")
}

func TestConfigNotesThatThereIsNoConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("OVERCAST_SET", "")
	t.Setenv("OVERCAST_CONF", "")
	var out, stderr strings.Builder
	assert.Equal(t, 0, run([]string{"config"}, &out, &stderr))
	assert.Empty(t, out.String())
	assert.Contains(t, stderr.String(), "note: no configuration was found: write ./overcast.conf")
}

func TestDoctorWithoutHostsFails(t *testing.T) {
	code, _, stderr := overcast(t, "a = 1", "doctor")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "the configuration declares no host (read from overcast.conf): add a section")
}

func TestDoctorHintsAtAKeyThatDeclaresNoHost(t *testing.T) {
	for conf, want := range map[string]string{
		"web {\n  libvirtBaseDomian = b\n}":  `overcast.conf:2:3: web: unknown key "libvirtBaseDomian", did you mean "libvirtBaseDomain"?`,
		"web { hostName = b }":               `overcast.conf:1:7: web: unknown key "hostName", did you mean "hostname"?`,
		"n = 1\nlibvirtBaseDomain = \"b\"\n": `overcast.conf:2:1: the key libvirtBaseDomain is outside a section: write LABEL { libvirtBaseDomain = ... }`,
	} {
		code, _, stderr := overcast(t, conf, "doctor")
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, "the configuration declares no host (read from overcast.conf): "+want+"\n")
	}
}

func TestAdviceIsNotMasked(t *testing.T) {
	for _, err := range []error{credentials.ErrKeyEncrypted, credentials.ErrKeyPassphrase} {
		assert.Equal(t, err.Error(), redact.Text(err.Error()))
	}
}

func TestDoctorLogsInToAnExistingMachine(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	conf := fmt.Sprintf("web { hostname = %q, connection.url = %q }", server.Host(), server.URL())
	code, out, _ := overcast(t, conf, "doctor")
	assert.Equal(t, 0, code)
	assert.Regexp(t, `(?m)^ok +web: reach: logged in as ssh://`, out)

	conf = `web { hostname = "127.0.0.1", connection.url = "ssh://me:bigsecret@{0}:1", provision.copy = [ nowhere.tar, /tmp ] }`
	code, out, _ = overcast(t, conf, "doctor")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?m)^FAILED  web: reach: logging in as ssh://me:\*+@127\.0\.0\.1:1.*refused: check hostname and that the machine runs$`, out)
	assert.Regexp(t, `(?m)^FAILED  web: provision\.copy: overcast\.conf:1:\d+: web\.provision\.copy: local path "nowhere\.tar" does not exist in the current folder /`, out)
	assert.NotContains(t, out, "bigsecret")
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
