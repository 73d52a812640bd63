package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// overcast runs the command in a new folder with this overcast.conf, and without
// other configuration.
func overcast(t *testing.T, conf string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", "/home/me")
	t.Setenv("OVERCAST_CONF", "")
	t.Setenv("OVERCAST_SET", "")
	t.Chdir(dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overcast.conf"), []byte(conf), 0o600))
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

// seed is an example of a host behind NAT.
const seed = `nat_host {
    libvirtURL="qemu+ssh://user@linux-box/system"
    libvirtBaseDomain="my_base_domain"
    networkDeviceId="my_nat_network"
    ipLookupStrategy="SSH"
    SSH {
        url="ssh://user@linux-box?os=UNIX&connectionType=SCP&privateKeyFile="${user.home}"/.ssh/id_rsa&passphrase=bigsecret"
        command="""grep {0} /var/lib/libvirt/dnsmasq/my_nat_network.leases | cut -d " " -f 3"""
        timeout=30
    }
}
`

func TestConfigOfALabelPrintsPositions(t *testing.T) {
	code, out, stderr := overcast(t, seed, "config", "nat_host")
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, `nat_host.libvirtURL = "qemu+ssh://user@linux-box/system"  # overcast.conf:2:16
nat_host.libvirtBaseDomain = "my_base_domain"  # overcast.conf:3:23
nat_host.networkDeviceId = "my_nat_network"  # overcast.conf:4:21
nat_host.ipLookupStrategy = "SSH"  # overcast.conf:5:22
nat_host.SSH.url = "ssh://user@linux-box?os=UNIX&connectionType=SCP&privateKeyFile=/home/me/.ssh/id_rsa&passphrase=********"  # overcast.conf:7:13
nat_host.SSH.command = "grep {0} /var/lib/libvirt/dnsmasq/my_nat_network.leases | cut -d \" \" -f 3"  # overcast.conf:8:17
nat_host.SSH.timeout = 30  # overcast.conf:9:17
`, out)
}

func TestConfigPrintsJSON(t *testing.T) {
	want := `{"libvirtBaseDomain": "base", "n": [1.50, true, null, {}], "text": "a<b&c"}`
	conf := `web = ` + want
	_, out, _ := overcast(t, conf, "config", "--json")
	assert.JSONEq(t, `{"web": `+want+`}`, out)
	assert.Contains(t, out, "1.50", "numbers as written")
	assert.Contains(t, out, "a<b&c")
	_, out, _ = overcast(t, seed, "config", "--json", "nat_host")
	var section map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &section))
	assert.Equal(t, "my_base_domain", section["libvirtBaseDomain"])
}

func TestConfigOfAFileUsesNoOtherSource(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.conf")
	require.NoError(t, os.WriteFile(other, []byte(`a = ${MARK}`), 0o600))
	t.Setenv("MARK", "from the environment")
	code, out, _ := overcast(t, seed, "config", "--json", other)
	assert.Equal(t, 0, code)
	assert.JSONEq(t, `{"a": "from the environment"}`, out)
}

func TestConfigPrefersALabelToAFile(t *testing.T) {
	start := func(t *testing.T, conf string) {
		t.Helper()
		overcast(t, conf, "config") // changes to a new folder
		require.NoError(t, os.WriteFile("nat_host", []byte(`file = yes`), 0o600))
	}
	printed := func(args ...string) string {
		var out, stderr bytes.Buffer
		run(append([]string{"config", "--json"}, args...), &out, &stderr)
		return out.String()
	}
	start(t, seed)
	assert.Contains(t, printed("nat_host"), "my_base_domain", "the label")
	assert.Contains(t, printed("./nat_host"), `"file": "yes"`, "the file")
	start(t, "other.hostname = a")
	assert.Contains(t, printed("nat_host"), `"file": "yes"`, "no such label")
}

func TestConfigAcceptsFlagsAfterArguments(t *testing.T) {
	code, out, _ := overcast(t, seed, "config", "nat_host", "--json")
	assert.Equal(t, 0, code)
	assert.True(t, json.Valid([]byte(out)))
}

func TestConfigOfInvalidInputPrintsThePosition(t *testing.T) {
	for name, test := range map[string]struct {
		conf string
		args []string
		want string
	}{
		"syntax":         {"a {\n  b = ]\n}", []string{}, "overcast.conf:2:7: "},
		"no separator":   {"web {\n  networkDeviceId \"b\"\n}", []string{}, `overcast.conf:3:1: expected '=', ':', '+=' or '{' after the key web."networkDeviceId b", found '}': the key is at overcast.conf:2:3`},
		"unresolved":     {"a = ${nowhere}", []string{}, "overcast.conf:1:5: "},
		"misspelt key":   {"web {\n  libvirtBaseDomain = a\n  networkDevceId = b\n}", []string{"web"}, `overcast.conf:3:3: web: unknown key "networkDevceId", did you mean "networkDeviceId"?`},
		"not a number":   {"web { libvirtBaseDomain = a, SSH.timeout = soon }", []string{"web"}, `overcast.conf:1:44: web.SSH.timeout: "soon" is not a number of seconds or a duration, such as 30 or 2 minutes`},
		"unknown label":  {seed, []string{"wbe"}, `host "wbe" is not in the configuration (it has nat_host; read from overcast.conf)`},
		"misspelt label": {seed, []string{"nat_hots"}, `host "nat_hots" is not in the configuration, did you mean "nat_host"? (it has nat_host; `},
		"two conditions": {"web { libvirtBaseDomain = a\n ready = [{ port = 80 }, { port = 80, cmd = x }] }", []string{"web"}, `overcast.conf:2:10: web.ready: condition 2 must set exactly one of port, http, log with file, and cmd`},
		"needs a login":  {"web { libvirtBaseDomain = a\n ready = [{ cmd = x }] }", []string{"web"}, `overcast.conf:2:10: web.ready: condition 1 needs a login`},
		"missing file":   {seed, []string{"missing.conf"}, "missing.conf: no such file"},
		"no such file":   {seed, []string{"./nowhere.conf"}, "./nowhere.conf: no such file"},
	} {
		for _, more := range [][]string{nil, {"--json"}} {
			t.Run(name+strings.Join(more, ""), func(t *testing.T) {
				code, out, stderr := overcast(t, test.conf, append(append([]string{"config"}, more...), test.args...)...)
				assert.Equal(t, 1, code)
				assert.Empty(t, out)
				assert.Contains(t, stderr, test.want)
			})
		}
	}
}

func TestInvalidCommandLinesPrintTheUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"confgi"}, {"config", "a", "b"}, {"config", "--yaml"}, {"ls", "a"}, {"gc", "-c"}, {"version", "a"}} {
		code, out, stderr := overcast(t, seed, args...)
		assert.Equal(t, 2, code)
		assert.Empty(t, out)
		assert.Contains(t, stderr, "usage: overcast")
	}
}

func TestConfigNotesMissingIncludes(t *testing.T) {
	const conf = "include \"common\"\nweb { hostname = h, include \"passphrase=bigsecret\" }"
	const first = `overcast.conf:1:1: note: ignored the include of "common": there is no common.properties or common.json or common.conf` + "\n"
	const second = `overcast.conf:2:21: note: ignored the include of "passphrase=********`
	for _, args := range [][]string{{}, {"web"}, {"--json"}, {"overcast.conf"}} {
		code, out, stderr := overcast(t, conf, append([]string{"config"}, args...)...)
		assert.Equal(t, 0, code)
		assert.NotEmpty(t, out)
		assert.NotContains(t, out, "include")
		assert.Regexp(t, "^"+regexp.QuoteMeta(first+second), stderr)
		assert.NotContains(t, stderr, "bigsecret")
	}
	code, _, stderr := overcast(t, conf, "config", "wbe")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, first, "the included file may have declared the host")
	_, out, _ := overcast(t, conf, "doctor", "web")
	assert.Contains(t, out, first)
	_, _, stderr = overcast(t, "web.hostname = h", "config")
	assert.Empty(t, stderr)
}
