package libvirt

import (
	"testing"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newHost makes an instance of the section nat_host of a configuration, which needs no
// hypervisor.
func newHost(t *testing.T, text string) (*instance, error) {
	t.Helper()
	document, err := hocon.Parse(t.Context(), "overcast.conf", []byte(text), nil)
	require.NoError(t, err)
	root, err := document.Resolve(t.Context(), nil)
	require.NoError(t, err)
	section, ok := root.Get("nat_host")
	require.True(t, ok)
	made, err := newProvider().Instance("nat_host", section)
	if err != nil {
		return nil, err
	}
	return made.(*instance), nil
}

// decode returns the configuration of the section nat_host.
func decode(t *testing.T, text string) (config, error) {
	t.Helper()
	made, err := newHost(t, text)
	if err != nil {
		return config{}, err
	}
	return made.config, nil
}

func TestConfigIsDecoded(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want func(*config)
	}{
		"defaults": {`nat_host { libvirtBaseDomain = base }`, func(c *config) {}},
		"synonyms": {`nat_host { baseDomain = base, network = br0 }`, func(c *config) { c.Network = "br0" }},
		"whole": {`nat_host { libvirtURL = "qemu+ssh://user@linux-box/system", libvirtBaseDomain = base, networkDeviceId = my_nat_network, ipLookupStrategy = lease, libvirtStartTimeout = 30 }`, func(c *config) {
			c.Lookup = lookupLease
			c.URL, c.Network, c.StartTimeout = "qemu+ssh://user@linux-box/system", "my_nat_network", 30*time.Second
		}},
		"memory wait":    {`nat_host { libvirtBaseDomain = base, memoryWait = 0 }`, func(c *config) { c.MemoryWait = 0 }},
		"duration":       {`nat_host { libvirtBaseDomain = base, libvirtStartTimeout = 3 minutes }`, func(c *config) { c.StartTimeout = 3 * time.Minute }},
		"static":         {`nat_host { libvirtBaseDomain = base, ipLookupStrategy = static, static.ip = "10.0.0.5" }`, static},
		"static, unsaid": {`nat_host { libvirtBaseDomain = base, static.ip = 10.0.0.5 }`, static},
		"any case":       {`nat_host { libvirtBaseDomain = base, ipLookupStrategy = STATIC, static.ip = 10.0.0.5 }`, static},
		"the seed's": {`nat_host { libvirtBaseDomain = base, networkDeviceId = my_nat_network, ipLookupStrategy = SSH, SSH { url = "ssh://user@linux-box", command = "grep {0} leases", timeout = 30 } }`, func(c *config) {
			c.Network, c.Lookup = "my_nat_network", lookupSSH
			c.SSH = sshConfig{URL: "ssh://user@linux-box", Command: "grep {0} leases", Timeout: 30 * time.Second}
		}},
		"shared in scope": {`nat_host { libvirtBaseDomain = base, scope = suite }`, func(c *config) { c.Scope = provider.ScopeSuite }},
	} {
		t.Run(name, func(t *testing.T) {
			want := defaults()
			want.BaseDomain, want.Lookup = "base", lookupAuto
			test.want(&want)
			got, err := decode(t, test.text)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}

func TestCloudInitHasLongerDefaultTimeouts(t *testing.T) {
	for name, test := range map[string]struct {
		text           string
		address, login time.Duration
	}{
		"defaults":           {`image = "./a.qcow2"`, 5 * time.Minute, 5 * time.Minute},
		"set":                {`image = "./a.qcow2", addressTimeout = 30, provision.startTimeout = 40`, 30 * time.Second, 40 * time.Second},
		"without cloud-init": {`image = "./a.qcow2", cloudInit.enabled = false`, 2 * time.Minute, time.Minute},
		"a base domain":      {`libvirtBaseDomain = base`, 2 * time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decode(t, "nat_host { "+test.text+" }")
			require.NoError(t, err)
			assert.Equal(t, test.address, got.AddressTimeout)
			assert.Equal(t, test.login, got.Provision.StartTimeout)
		})
	}
}

func static(c *config) {
	c.Lookup, c.Scope = lookupStatic, provider.ScopeSuite
	if err := c.Static.IP.UnmarshalText([]byte("10.0.0.5")); err != nil {
		panic(err)
	}
}

func TestInvalidConfigIsAnErrorWithItsPosition(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no base domain":       {`nat_host { libvirtURL = "qemu:///system" }`, `nat_host.libvirtBaseDomain: is missing: set it to the name of a base domain, or set image`},
		"image and base":       {`nat_host { libvirtBaseDomain = a, image = "./b.qcow2" }`, `nat_host.image: cannot be combined with libvirtBaseDomain`},
		"hardware of base":     {`nat_host { libvirtBaseDomain = a, memory = 1 GiB }`, `nat_host.memory: needs the key image`},
		"no memory":            {`nat_host { image = "./b.qcow2", memory = 0 }`, `nat_host.memory: must be greater than 0`},
		"firmware":             {`nat_host { image = "./b.qcow2", firmware = uefi }`, `nat_host.firmware: must be one of bios, efi`},
		"URL, no digest":       {`nat_host { image = { url = "https://example.org/a.qcow2" } }`, `sha256`},
		"an unknown key":       {"nat_host {\n  libvirtBaseDomain = base\n  netwrkDeviceId = br0\n}", `overcast.conf:3:3: nat_host: unknown key "netwrkDeviceId", did you mean "networkDeviceId"?`},
		"both names":           {`nat_host { libvirtBaseDomain = a, baseDomain = b }`, `baseDomain`},
		"no strategy":          {`nat_host { libvirtBaseDomain = a, ipLookupStrategy = guess }`, `overcast.conf:1:54: nat_host.ipLookupStrategy: must be one of auto, lease, agent, arp, SSH, static`},
		"a misspelt strategy":  {`nat_host { libvirtBaseDomain = a, ipLookupStrategy = agnet }`, `arp, SSH, static: did you mean "agent"?`},
		"a negative wait":      {`nat_host { libvirtBaseDomain = a, static { ip = 10.0.0.5, wait = -1 } }`, `nat_host.static.wait: is negative`},
		"auto without SSH.url": {`nat_host { libvirtBaseDomain = a, SSH.command = "true {0}" }`, `nat_host.SSH.url: is missing`},
		"no address":           {`nat_host { libvirtBaseDomain = a, ipLookupStrategy = static }`, `nat_host.static.ip: is missing`},
		"an empty name":        {`nat_host { libvirtBaseDomain = "" }`, `overcast.conf:1:32: nat_host.libvirtBaseDomain: is empty`},
		"an empty URL":         {`nat_host { libvirtBaseDomain = a, libvirtURL = "" }`, `nat_host.libvirtURL: is empty`},
		"a password":           {`nat_host { libvirtBaseDomain = a, libvirtURL = "qemu+ssh://root:s3cret@host/system" }`, `overcast.conf:1:48: nat_host.libvirtURL: the URL has a password, which every user of this machine would see in the arguments of ssh: remove it and log in with a key`},
		"URL as base":          {"nat_host { libvirtBaseDomain = \"qemu+ssh://root:s3 s3cret\\t&x@host/system\" }", `overcast.conf:1:32: nat_host.libvirtBaseDomain: is a URL: set it to the name of a domain`},
		"a relative path":      {`nat_host { libvirtBaseDomain = a, fsMapping.data.hostPath = data }`, `overcast.conf:1:61: nat_host.fsMapping.data.hostPath: "data" is not an absolute path`},
		"no such overlay":      {`nat_host { libvirtBaseDomain = a, overlay = none }`, `overcast.conf:1:45: nat_host.overlay: it is neither "anonymous" nor "file"`},
		"a long target":        {`nat_host { libvirtBaseDomain = a, fsMapping { a-target-that-is-longer-than-a-tag-may-be.hostPath = /a } }`, `overcast.conf:1:47: nat_host.fsMapping.a-target-that-is-longer-than-a-tag-may-be: the target has 41 bytes`},
		"another spelling":     {`nat_host { libvirtBaseDomain = a, fsMapping { data.hostPath = /a, DATA.hostPath = /b } }`, `overcast.conf:1:67: nat_host.fsMapping.DATA: the target "data" is already in use`},
		"no login to mount":    {`nat_host { libvirtBaseDomain = a, fsMapping.data { hostPath = /a, mountAt = /data } }`, `overcast.conf:1:77: nat_host.fsMapping.data.mountAt: no login configured to mount it there (set connection.url)`},
		"virtiofs, squash":     {`nat_host { libvirtBaseDomain = a, fsMapping."da.ta" { hostPath = /a, driver = virtiofs, accessMode = squash } }`, `overcast.conf:1:102: nat_host.fsMapping."da.ta".accessMode: virtiofs supports only the access mode passthrough`},
		"no command":           {`nat_host { libvirtBaseDomain = a, ipLookupStrategy = SSH, SSH.url = "ssh://box" }`, `nat_host.SSH.command: is missing`},
		"no URL":               {`nat_host { libvirtBaseDomain = a, ipLookupStrategy = SSH, SSH.command = "true" }`, `nat_host.SSH.url: is missing`},
		"a bad URL":            {`nat_host { libvirtBaseDomain = a, ipLookupStrategy = SSH, SSH { url = "ftp://box", command = "true {0}" } }`, `overcast.conf:1:71: nat_host.SSH.url: `},
		"no MAC":               {`nat_host { libvirtBaseDomain = a, ipLookupStrategy = SSH, SSH { url = "ssh://box", command = "true" } }`, `nat_host.SSH.command: has no {0}`},
		"not an address":       {`nat_host { libvirtBaseDomain = a, static.ip = ten }`, `overcast.conf:1:47: nat_host.static.ip: `},
		"negative memory wait": {`nat_host { libvirtBaseDomain = a, memoryWait = -1 }`, `nat_host.memoryWait: is negative`},
		"negative cache age":   {`nat_host { libvirtBaseDomain = a, cacheMaxAge = -1 }`, `nat_host.cacheMaxAge: is negative`},
		"negative cache size":  {`nat_host { libvirtBaseDomain = a, cacheMaxSize = -1 }`, `nat_host.cacheMaxSize: -1 is a negative size`},
		"zero start timeout":   {`nat_host { libvirtBaseDomain = a, libvirtStartTimeout = 0 }`, `nat_host.libvirtStartTimeout: `},
		"not a duration":       {`nat_host { libvirtBaseDomain = a, libvirtStartTimeout = soon }`, `overcast.conf:1:57: nat_host.libvirtStartTimeout: "soon" is not a number of seconds or a duration, such as 30 or 2 minutes`},
		"not even a list":      {`nat_host { libvirtBaseDomain = [a] }`, `overcast.conf:1:32: nat_host.libvirtBaseDomain: `},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(t, test.text)
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
			assert.NotContains(t, err.Error(), "s3cret")
			var positioned hocon.Error
			require.ErrorAs(t, err, &positioned)
		})
	}
}
