package libvirt

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

// imageHost is an instance of a section with more keys than that of an image.
func imageHost(t *testing.T, keys string) *instance {
	t.Helper()
	made, err := newHost(t, `nat_host { image = "./disk.img", libvirtURL = "test:///default", `+keys+` }`)
	require.NoError(t, err)
	return made
}

func TestMistakesInTheInputOfAnImageAreFoundBeforeAnythingIsCreated(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	here, err := os.Getwd()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("disk.img", make([]byte, 512), 0o600))
	require.NoError(t, os.WriteFile("page.img", []byte("<html>"), 0o600))
	require.NoError(t, os.WriteFile("broken.yaml", []byte("#cloud-config\na: [\n"), 0o600))
	for name, test := range map[string]struct{ keys, want string }{
		"a missing image":         {`image = "./none.img"`, `nat_host.image: file ` + here + `/none.img does not exist: download a cloud image to there, or correct the path`},
		"not an image":            {`image = "./page.img"`, `nat_host.image: reading image ` + here + `/page.img: it is not a disk image: it is a text that starts with "<html>"`},
		"a user name":             {`cloudInit.user = Admin`, `nat_host.cloudInit.user: "Admin" is not a user name`},
		"the path of a key":       {`cloudInit.authorizedKeys = ["~/.ssh/id.pub"]`, `nat_host.cloudInit.authorizedKeys: entry 1 is not a line of authorized_keys`},
		"no first line":           {`cloudInit.userData = "packages: [nginx]"`, `nat_host.cloudInit.userData: the first line is none that cloud-init knows`},
		"a missing file":          {`cloudInit.userData = "user-data.yaml"`, `nat_host.cloudInit.userData: is neither a text for cloud-init nor the path of a file in the current folder ` + here + `: correct the path`},
		"a missing network file":  {`cloudInit.networkConfig = "/nowhere/network"`, `nat_host.cloudInit.networkConfig: is neither a text for cloud-init nor the path of a file: correct the path`},
		"YAML in a file":          {`cloudInit.userData = broken.yaml`, `nat_host.cloudInit.userData: it is not valid YAML, near line`},
		"YAML of a configuration": {`cloudInit.networkConfig = "version: [2"`, `nat_host.cloudInit.networkConfig: it is not valid YAML, near line`},
	} {
		t.Run(name, func(t *testing.T) {
			i := imageHost(t, test.keys)
			err := i.prepare(t.Context())
			require.ErrorContains(t, err, "overcast.conf:1:")
			require.ErrorContains(t, err, test.want)
			require.NoError(t, i.TearDown(t.Context()))
			results := newProvider().Check(t.Context(), "nat_host", i.section)
			require.NotEmpty(t, results)
			assert.EqualError(t, results[len(results)-1].Err, err.Error(), "doctor says the same")
			entries, err := os.ReadDir(os.Getenv("XDG_CACHE_HOME"))
			require.NoError(t, err)
			assert.Empty(t, entries)
		})
	}
}

func TestANetworkThatDoesNotExistIsNamedBeforeAnImageIsImported(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hypervisor.xml")
	require.NoError(t, os.WriteFile(path, []byte("<node><interface type='ethernet' name='br0'/></node>"), 0o600))
	conn, err := libvirt.NewConnect("test://" + path)
	require.NoError(t, err)
	defer conn.Close()
	host := layers.Host{Bridges: domainxml.Bridges{"nat": "virbr0", "isolated": ""}}
	for _, network := range []string{"nat", "isolated", "nat/group", "br0"} {
		assert.NoError(t, imageHost(t, "network = "+network).checkImageNetwork(conn, host), network)
	}
	for keys, key := range map[string]string{"network = nit": "network", "networkDeviceId = nit": "networkDeviceId"} {
		err := imageHost(t, keys).checkImageNetwork(conn, host)
		require.ErrorContains(t, err, "overcast.conf:1:")
		require.ErrorContains(t, err, `nat_host.`+key+`: test:///default has neither a libvirt network nor a bridge "nit", did you mean "nat"?: set `+key+` to one of its networks: isolated, nat (virsh net-list --all)`)
	}
}

func TestANetworkWithoutDHCPIsNamedIfCloudInitNeedsIt(t *testing.T) {
	network := func(name, content string) string {
		return "<network><name>" + name + "</name>" + content + "</network>"
	}
	path := filepath.Join(t.TempDir(), "hypervisor.xml")
	text := "<node>" + network("dhcp", "<ip address='192.0.2.1' netmask='255.255.255.0'><dhcp><range start='192.0.2.2' end='192.0.2.9'/></dhcp></ip>") +
		network("none", "<forward mode='nat'/><ip address='198.51.100.1' netmask='255.255.255.0'/>") +
		network("over-bridge", "<forward mode='bridge'/><bridge name='br0'/>") + "</node>"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	conn, err := libvirt.NewConnect("test://" + path)
	require.NoError(t, err)
	defer conn.Close()
	i := imageHost(t, "memory = 1 GiB")
	assert.Equal(t, "cloud-init makes the host use DHCP, and network none has no DHCP server of libvirt: add a <dhcp> range to it (virsh net-edit none), set networkDeviceId to another network, or set cloudInit.networkConfig", i.missingDHCP(conn, "none"))
	for _, name := range []string{"dhcp", "over-bridge", "br0"} {
		assert.Empty(t, i.missingDHCP(conn, name), name)
	}
	assert.Empty(t, imageHost(t, "cloudInit.enabled = false").missingDHCP(conn, "none"))
	assert.Empty(t, imageHost(t, `cloudInit.networkConfig = "version: 2"`).missingDHCP(conn, "none"))
}

func TestErrorsThatCloudInitRecoveredFromAreReported(t *testing.T) {
	var reported []string
	ctx := provider.WithReporter(t.Context(), func(step, detail string) { reported = append(reported, step+" "+detail) })
	err := imageHost(t, "memory = 1 GiB").AwaitReady(ctx, func(context.Context, string) (string, int, error) {
		return "status: done\nextended_status: degraded done\nrecoverable_errors:\nWARNING:\n\t- a part was ignored\n", 2, nil
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"warning: cloud-init: a part was ignored"}, reported)
}
