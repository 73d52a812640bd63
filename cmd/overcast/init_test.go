package main

import (
	"bytes"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/fixture"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// twoBases is a hypervisor of libvirt's test driver with two domains that are shut off.
const twoBases = `
<domain type='test'><name>alone</name><memory>1024</memory><os><type>hvm</type></os><test:runstate>5</test:runstate></domain>
<domain type='test'><name>debian</name><memory>1024</memory><os><type>hvm</type></os><devices>
  <interface type='bridge'><source bridge='br0'/></interface><interface type='network'><source network='nat'/></interface>
</devices><test:runstate>5</test:runstate></domain>
<domain type='test'><name>fedora</name><memory>1024</memory><os><type>hvm</type></os><test:runstate>1</test:runstate></domain>
<network><name>nat</name><bridge name='virbr1'/><ip address='192.0.2.1' netmask='255.255.255.0'><dhcp><range start='192.0.2.2' end='192.0.2.9'/></dhcp></ip></network>
<pool type='dir'><name>images</name><target><path>/images</path></target></pool>`

// initIn runs init in the current folder, with answers on standard input.
func initIn(t *testing.T, hypervisor, answers string, args ...string) (stdout string, err error) {
	t.Helper()
	node := filepath.Join(t.TempDir(), "node.xml")
	require.NoError(t, os.WriteFile(node, []byte(`<node xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>`+hypervisor+`</node>`), 0o600))
	var out, stderr bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"init", "-c", "test://" + node}, args...))
	root.SetIn(strings.NewReader(answers))
	root.SetOut(&out)
	root.SetErr(&stderr)
	err = root.Execute()
	return out.String(), err
}

// newFolder changes to a new folder, where the current configuration is the only one.
func newFolder(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", "/home/me")
	t.Setenv("OVERCAST_CONF", "")
	t.Setenv("OVERCAST_SET", "")
	t.Chdir(t.TempDir())
}

// written is the text of a file that init has written.
func written(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

// value is a value of the configuration that init has written.
func value(t *testing.T, label, key string) string {
	t.Helper()
	config, err := fixture.Load()
	require.NoError(t, err)
	require.NoError(t, config.Check(label))
	section, err := config.Section(label)
	require.NoError(t, err)
	found, ok := section.Get(key)
	require.True(t, ok, key)
	text, err := found.Text()
	require.NoError(t, err)
	return text
}

func TestInitTakesTheBaseWithDHCPWithoutQuestions(t *testing.T) {
	for style, contains := range map[string]string{"ginkgo": "RunSpecs", "testify": "testifysuite.Run", "plain": "fixture.Up(t"} {
		t.Run(style, func(t *testing.T) {
			newFolder(t)
			out, err := initIn(t, twoBases, "", "--yes", "--"+style)
			require.NoError(t, err)
			assert.Contains(t, out, "wrote overcast.conf and overcast_test.go; now run:\n    go mod init example.com/NAME\n    go mod tidy\n    overcast doctor web_host\n")
			assert.Equal(t, "debian", value(t, "web_host", "libvirtBaseDomain"))
			assert.Equal(t, "nat", value(t, "web_host", "networkDeviceId"))
			assert.Contains(t, written(t, "overcast.conf"), "Others that are shut off: alone.")
			assert.Contains(t, written(t, "overcast.conf"), "pools: images")
			assert.Contains(t, written(t, "overcast.conf"), `# provision.cmd = "systemctl start nginx"`, "root needs no sudo")
			test := written(t, "overcast_test.go")
			assert.Contains(t, test, contains)
			formatted, err := format.Source([]byte(test))
			require.NoError(t, err)
			assert.Equal(t, string(formatted), test)
		})
	}
}

func TestInitAsksWhatToUse(t *testing.T) {
	newFolder(t)
	require.NoError(t, os.WriteFile("go.mod", []byte("module example.com/m\ntool github.com/overcast-go/overcast/cmd/overcast\n"), 0o600))
	require.NoError(t, os.WriteFile("m.go", []byte("package m\n"), 0o600))
	require.NoError(t, os.Mkdir("images", 0o700))
	require.NoError(t, os.WriteFile("images/debian.qcow2", nil, 0o600))
	out, err := initIn(t, twoBases, "9\n2\n1\nadmin\n3\n", "db")
	require.NoError(t, err)
	assert.Contains(t, out, "Hosts are clones of:\n  1  domain alone\n  2  domain debian\n  3  image images/debian.qcow2\nNumber [2]: \"9\" is not a number from 1 to 3\n")
	assert.Contains(t, out, "now run:\n    go mod tidy\n    go tool overcast doctor db\n")
	assert.Equal(t, "debian", value(t, "db", "libvirtBaseDomain"))
	assert.Equal(t, "br0", value(t, "db", "networkDeviceId"))
	assert.Contains(t, written(t, "overcast.conf"), `connection.url = "ssh://admin@{0}"`)
	assert.Contains(t, written(t, "overcast_test.go"), "package m_test\n")
	assert.Contains(t, written(t, "overcast_test.go"), `fixture.Up(t, "db")`)
}

func TestInitUsesAnImageWhereThereIsNoBaseDomain(t *testing.T) {
	newFolder(t)
	require.NoError(t, os.WriteFile("debian.qcow2", nil, 0o600))
	_, err := initIn(t, "<network><name>nat</name><bridge name='virbr1'/><ip address='192.0.2.1' netmask='255.255.255.0'><dhcp><range start='192.0.2.2' end='192.0.2.9'/></dhcp></ip></network>", "", "--yes")
	require.NoError(t, err)
	assert.Equal(t, "./debian.qcow2", value(t, "web_host", "image"))
	assert.Equal(t, "nat", value(t, "web_host", "networkDeviceId"))
	assert.Contains(t, written(t, "overcast.conf"), `cloudInit.user = "admin"`)
	assert.Contains(t, written(t, "overcast.conf"), `# provision.cmd = "sudo systemctl start nginx"`)
}

func TestInitFailsAndWritesNothing(t *testing.T) {
	running := strings.ReplaceAll(twoBases, "<test:runstate>5<", "<test:runstate>1<")
	for want, test := range map[string]struct {
		hypervisor, answers string
		args                []string
	}{
		"has no domain that is shut off, and neither this folder nor images/ has a disk image: shut a domain off (virsh shutdown NAME; there are alone, debian, fedora), or download a cloud image to images/": {hypervisor: running, args: []string{"--yes"}},
		"images/ has a disk image: download a cloud image to images/":                           {},
		`has no domain "debain" that is shut off, did you mean "debian"?: see virsh list --all`: {hypervisor: twoBases, args: []string{"--base", "debain"}},
		`has no domain "web" that is shut off: see`:                                             {hypervisor: twoBases, args: []string{"--base", "web"}},
		"file nowhere.img does not exist: download a cloud image to there, or correct the path": {args: []string{"--image", "nowhere.img"}},
		"choosing an image: reading image .: it is not a regular file":                          {args: []string{"--image", "."}},
		"standard input has ended: use --yes":                                                   {hypervisor: twoBases},
		`label "a b"`:                                                                           {hypervisor: twoBases, args: []string{"--yes", "a b"}},
		"listing domains, networks and pools at test://":                                        {hypervisor: "<"},
	} {
		newFolder(t)
		_, err := initIn(t, test.hypervisor, test.answers, test.args...)
		require.ErrorContains(t, err, want)
		entries, err := os.ReadDir(".")
		require.NoError(t, err)
		assert.Empty(t, entries)
	}
}

func TestInitOverwritesNothing(t *testing.T) {
	for _, name := range []string{"overcast.conf", "overcast_test.go"} {
		newFolder(t)
		require.NoError(t, os.WriteFile(name, []byte("mine"), 0o600))
		_, err := initIn(t, twoBases, "", "--yes")
		require.EqualError(t, err, "writing "+name+": the file exists: run init in another folder, or remove the file")
		assert.Equal(t, "mine", written(t, name))
		entries, err := os.ReadDir(".")
		require.NoError(t, err)
		assert.Len(t, entries, 1)
	}
}
