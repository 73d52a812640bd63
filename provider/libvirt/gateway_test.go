package libvirt

import (
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGatewayURLIsDerivedFromLibvirtURL(t *testing.T) {
	const lookup = "ssh://user@linux-box?privateKeyFile=/home/me/.ssh/id_rsa&passphrase=bigsecret"
	for name, test := range map[string]struct{ url, ssh, want string }{
		"this machine's system":    {url: "qemu:///system"},
		"this machine's session":   {url: "qemu:///session"},
		"a socket of this machine": {url: "qemu+unix:///system?socket=/run/x"},
		"ssh":                      {url: "qemu+ssh://user@linux-box/system", want: "ssh://user@linux-box?os=UNIX&connectionType=SCP"},
		"ssh, with the rest":       {url: "qemu+ssh://user@linux-box:2222/system?keyfile=/k&no_verify=1", want: "ssh://user@linux-box:2222?os=UNIX&connectionType=SCP&privateKeyFile=/k&hostKey=insecure"},
		"libssh2":                  {url: "qemu+libssh2://user@linux-box/system?known_hosts=/kh", want: "ssh://user@linux-box?os=UNIX&connectionType=SCP&knownHosts=/kh"},
		"IPv6":                     {url: "qemu+ssh://user@[fd00::1]/system", want: "ssh://user@[fd00::1]?os=UNIX&connectionType=SCP"},
		"tls, whose port and keys are for other things": {url: "qemu+tls://linux-box:16514/system?pkipath=/p", want: "ssh://linux-box?os=UNIX&connectionType=SCP"},
		"the look-up's login, for the same machine":     {url: "qemu+ssh://user@linux-box/system", ssh: lookup, want: "ssh://user@linux-box?os=UNIX&connectionType=SCP&privateKeyFile=/home/me/.ssh/id_rsa&passphrase=********"},
		"the look-up's login, without another one":      {url: "qemu+tcp://linux-box/system", ssh: lookup, want: "ssh://user@linux-box?os=UNIX&connectionType=SCP&privateKeyFile=/home/me/.ssh/id_rsa&passphrase=********"},
		"not that of another user":                      {url: "qemu+ssh://root@linux-box/system", ssh: lookup, want: "ssh://root@linux-box?os=UNIX&connectionType=SCP"},
		"not that of another machine":                   {url: "qemu+ssh://user@other-box/system", ssh: lookup, want: "ssh://user@other-box?os=UNIX&connectionType=SCP"},
	} {
		t.Run(name, func(t *testing.T) {
			config := config{URL: test.url, SSH: sshConfig{URL: test.ssh}}
			got, err := config.gateway()
			require.NoError(t, err)
			if test.want == "" {
				assert.Empty(t, got)
				return
			}
			target, err := sshurl.ParseURL(got)
			require.NoError(t, err)
			assert.Equal(t, test.want, target.String())
		})
	}
}

func TestGatewayErrorsRedactThePassword(t *testing.T) {
	for _, url := range []string{"qemu+ssh://user:s3cret@host:bad/system", "qemu+ssh://user:s3cret@%zz/system"} {
		config := config{URL: url}
		_, err := config.gateway()
		require.Error(t, err, url)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}
