package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const machine = `
web { hostname = "192.0.2.7", connection.url = "ssh://admin@{0}:2222?privateKeyFile=/keys/id%20a" }
plain { hostname = plain }
clone { libvirtBaseDomain = a }`

func TestSSHConfigOfAnExistingMachine(t *testing.T) {
	code, out, stderr := overcast(t, machine, "ssh-config", "web")
	require.Equal(t, 0, code, stderr)
	assert.Equal(t, `Host web
    HostName 192.0.2.7
    User admin
    Port 2222
    IdentityFile "/keys/id a"
    IdentitiesOnly yes
`, out)
	code, out, stderr = overcast(t, machine, "ssh-config", "plain")
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	assert.Contains(t, stderr, "connection.url")
}

func TestCommandsForRunningHostsCheckTheirArguments(t *testing.T) {
	for _, args := range [][]string{
		{"ssh"}, {"ssh", "web", "uptime"}, {"ssh", "--", "web"}, {"console"}, {"screenshot", "a", "b"}, {"ssh-config"},
		{"cp", "a", "b"}, {"cp", "web:/a", "db:/b"}, {"cp", "web:/a"}, {"up"}, {"up", "web", "--for", "soon"}, {"up", "web", "--for", "-1s"},
	} {
		code, out, stderr := overcast(t, machine, args...)
		assert.Equal(t, 2, code, "%v: %s", args, stderr)
		assert.Empty(t, out)
	}
	for _, args := range [][]string{{"ssh", "wbe"}, {"up", "wbe"}, {"cp", "x", "wbe:/x"}, {"down", "web"}} {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		code, _, stderr := overcast(t, machine, args...)
		assert.Equal(t, 1, code, "%v: %s", args, stderr)
	}
}

func TestPathsOnAHostHaveALabel(t *testing.T) {
	for arg, want := range map[string]bool{"web:/a": true, "web:a": true, "./a:b": false, "/a:b": false, "a": false, ":a": false} {
		_, _, ok := remotePath(arg)
		assert.Equal(t, want, ok, arg)
	}
}

func TestTheTableOfResourcesFits100Columns(t *testing.T) {
	var out bytes.Buffer
	all := []listed{
		{"qemu+ssh://administrator@hypervisor.example.org/system", libvirt.Resource{
			Kind: "domain", Name: "overcast-nat_host-0123456789abcdef", Label: "nat_host", Parent: "my_base_domain", State: "running",
			Address: "192.168.122.133", Created: time.Now().Add(-100 * time.Minute), Owner: "process 1234567 on build-agent-17", OwnerState: "alive",
			SkipReason: "its owner is alive",
		}, "12m"},
		{"qemu:///system", libvirt.Resource{Kind: "volume", Name: "overcast-x", Pool: "default", Owner: "process 1", OwnerState: "gone"}, ""},
	}
	require.NoError(t, table(&out, all))
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, len(line), tableWidth+1, line)
	}
	assert.Contains(t, out.String(), "nat_host  192.168.122.133  running  1h40m  12m   process 1234567 on build-agent-17, alive\n")
	assert.Contains(t, out.String(), "    volume overcast-x in pool default, at qemu:///system; gc removes it\n")
}
