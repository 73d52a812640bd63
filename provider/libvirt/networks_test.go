package libvirt

import (
	"errors"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGateway(t *testing.T) {
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
		"the look-up's login, where nobody else is":     {url: "qemu+tcp://linux-box/system", ssh: lookup, want: "ssh://user@linux-box?os=UNIX&connectionType=SCP&privateKeyFile=/home/me/.ssh/id_rsa&passphrase=********"},
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
			target, err := ssh.ParseURL(got)
			require.NoError(t, err)
			assert.Equal(t, test.want, target.String())
		})
	}
}

func TestWhoMayOpenKVM(t *testing.T) {
	me, err := user.Current()
	require.NoError(t, err)
	stranger := &user.User{Uid: "64999", Gid: "64999", Username: "stranger"}
	device := filepath.Join(t.TempDir(), "kvm")
	require.NoError(t, os.WriteFile(device, nil, 0o600))
	for mode, may := range map[os.FileMode]bool{0o600: false, 0o660: false, 0o664: false, 0o666: true} {
		require.NoError(t, os.Chmod(device, mode))
		info, err := os.Stat(device)
		require.NoError(t, err)
		assert.Equal(t, may, mayOpen(info, stranger), "%v", mode)
		assert.True(t, mayOpen(info, me))
	}
	seen, err := checkKVM(filepath.Join(t.TempDir(), "none"), me.Username)
	require.NoError(t, err)
	assert.Contains(t, seen, "guests are emulated")
	require.NoError(t, os.Chmod(device, 0o600))
	_, err = checkKVM(device, "nobody")
	require.ErrorContains(t, err, "five seconds and more")
	require.ErrorContains(t, err, "usermod -aG kvm nobody")
}

func TestAddressInUseTellsWhoAndSinceWhen(t *testing.T) {
	err := &AddressInUseError{Address: netip.MustParseAddr("10.0.0.9"), Holder: "domain overcast-web (web of process 7 on ci)"}
	require.ErrorIs(t, err, provider.ErrStaticAddressInUse)
	assert.Equal(t, "static address 10.0.0.9 is in use: domain overcast-web (web of process 7 on ci): have that give it up, or give the base domain's system another address, and static.ip the same", err.Error())
	err.Waited, err.Cause = 2*time.Second, errors.New("static.wait of 2s expired")
	assert.Equal(t, "static address 10.0.0.9 is in use: domain overcast-web (web of process 7 on ci); waited 2s: static.wait of 2s expired: wait longer (static.wait), or end what has it (a clone that was kept: overcast gc)", err.Error())
	require.ErrorIs(t, err, err.Cause)
}

func TestGatewayErrorsKeepThePassword(t *testing.T) {
	for _, url := range []string{"qemu+ssh://user:s3cret@host:bad/system", "qemu+ssh://user:s3cret@%zz/system"} {
		config := config{URL: url}
		_, err := config.gateway()
		require.Error(t, err, url)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}
