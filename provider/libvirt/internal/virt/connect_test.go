package virt

import (
	"errors"
	"testing"

	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

// Messages of libvirt 9.0.
func TestConnectErrorNamesThePartThatFailed(t *testing.T) {
	for message, part := range map[string]string{
		"Cannot recv data: ssh: Could not resolve hostname nowhere: Temporary failure in name resolution: Connection reset by peer":           "name",
		"Unable to resolve address 'nowhere' service '16509': Temporary failure in name resolution":                                           "name",
		"Cannot recv data: ssh: connect to host linux-box port 23: Connection refused: Connection reset by peer":                              "port",
		"Cannot recv data: ssh: connect to host 192.168.124.77 port 22: No route to host: Connection reset by peer":                           "port",
		"unable to connect to server at 'linux-box:16509': Connection refused":                                                                "port",
		"Cannot recv data: Host key verification failed.: Connection reset by peer":                                                           "host key",
		"SSH transport error: No user interaction callback provided: Can't verify the session host key":                                       "host key",
		"Cannot recv data: nobody@linux-box: Permission denied (publickey).: Connection reset by peer":                                        "login",
		"Cannot read CA certificate '/etc/pki/CA/cacert.pem': No such file or directory":                                                      "certificate",
		"Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied":                                                      "socket permission",
		"End of file while reading data: virt-ssh-helper: cannot connect to '/s': Failed to connect socket to '/s': Permission denied: Input": "socket permission",
		"Failed to connect socket to '/run/nothere': No such file or directory":                                                               "daemon",
		"End of file while reading data: sh: 1: nc: not found: Input/output error":                                                            "daemon",
		"no connection driver available for qemux:///system":                                                                                  "",
	} {
		err := connectError("qemu+ssh://user:sesame@linux-box/system", libvirt.Error{Message: message})
		var e *ConnectError
		if assert.ErrorAs(t, err, &e, message) {
			assert.Equal(t, part, e.Part, message)
		}
		assert.ErrorIs(t, err, provider.ErrHypervisorNotReachable)
		assert.Contains(t, err.Error(), message)
		assert.NotContains(t, err.Error(), "sesame")
	}
}

func TestErrorsOfInvalidURLsRedactThePassword(t *testing.T) {
	for _, url := range []string{"qemu+ssh://user:s3cret@host:bad/system", "qemu+ssh://user:s3cret@%zz/system", "nonsense://user:s3cret@host/system"} {
		pool := NewConnections()
		_, _, err := pool.Acquire(t.Context(), url)
		require.Error(t, err, url)
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

func TestErrorsHideTheSecretsOfKnownTexts(t *testing.T) {
	for name, password := range map[string]string{
		"plain": "s3cret", "blank": "my s3cret", "tab": "my\ts3cret", "newline": "my\ns3cret",
		"ampersand": "my&s3cret", "quotes": `my'"s3cret`, "parameter": "my?a=s3cret", "at": "my@s3cret",
	} {
		t.Run(name, func(t *testing.T) {
			url := "qemu+ssh://root:" + password + "@host/system"
			parameter := "qemu+ssh://root@host/system?password=" + password
			for _, known := range []string{url, parameter} {
				for _, message := range []string{"Unable to parse URI " + known, "no domain with matching name '" + known + "'"} {
					for _, err := range []error{
						connectError(known, libvirt.Error{Message: message}),
						hideIn(libvirt.Error{Message: message}, known),
						&BaseMissingError{URL: "qemu:///system", Domain: known},
					} {
						assert.NotContains(t, err.Error(), "s3cret")
						assert.Contains(t, err.Error(), "host/system")
					}
				}
			}
		})
	}
}

// openTestDriver connects to libvirt's test driver, which has a running domain "test".
func openTestDriver(t *testing.T) *Connection {
	t.Helper()
	on, release, err := NewConnections().Acquire(t.Context(), "test:///default")
	require.NoError(t, err)
	t.Cleanup(release)
	return on
}

func TestSSHNeverPrompts(t *testing.T) {
	for url, opened := range map[string]string{
		"qemu:///system":                              "qemu:///system",
		"qemu+tls://box/system":                       "qemu+tls://box/system",
		"qemu+ssh://u@box/system":                     "qemu+ssh://u@box/system?no_tty=1",
		"qemu+ssh://u@box/system?keyfile=/k":          "qemu+ssh://u@box/system?keyfile=/k&no_tty=1",
		"qemu+ssh://u@box/system?no_tty=0":            "qemu+ssh://u@box/system?no_tty=0",
		"qemu+ssh://u@box/system?keyfile=/k&no_tty=1": "qemu+ssh://u@box/system?keyfile=/k&no_tty=1",
		"qemu+libssh2://box/system":                   "qemu+libssh2://box/system",
	} {
		assert.Equal(t, opened, withoutPrompt(url))
	}
}

func TestAnUnknownHostKeySaysHowToAddIt(t *testing.T) {
	err := connectError("qemu+ssh://user@box:2222/system", errors.New("Cannot recv data: Host key verification failed.: Connection reset by peer"))
	assert.ErrorContains(t, err, "compare the key of box with the one that an administrator gives you: ssh-keyscan -p 2222 box | ssh-keygen -lf -; then log in once: ssh -p 2222 user@box; remove an old key with: ssh-keygen -R '[box]:2222'")
	err = connectError("qemu+ssh://box/system", errors.New("Cannot recv data: Host key verification failed.: Connection reset by peer"))
	assert.ErrorContains(t, err, "ssh-keyscan box | ssh-keygen -lf -; then log in once: ssh box; remove an old key with: ssh-keygen -R box")
}

func TestURLsWithAPasswordAreRefusedBeforeDialling(t *testing.T) {
	for name, url := range map[string]string{
		"ssh":         "qemu+ssh://root:s3cret@127.0.0.1/system",
		"libssh":      "qemu+libssh2://root:s3cret@127.0.0.1:22/system",
		"slash":       "qemu+ssh://root:s3cret/more@127.0.0.1/system",
		"encoded":     "qemu+ssh://root:s3cret%20x@127.0.0.1/system",
		"other":       "qemu+tcp://root:s3cret@127.0.0.1/system",
		"driver":      "test://root:s3cret@/default",
		"parameter":   "qemu+ssh://root@127.0.0.1/system?no_verify=1&password=s3cret",
		"passphrase":  "qemu+ssh://root@127.0.0.1/system?passphrase=s3cret",
		"unparseable": "qemu+ssh://root:s3cret@host:bad/system",
	} {
		t.Run(name, func(t *testing.T) {
			pool := NewConnections()
			_, _, err := pool.Acquire(t.Context(), url)
			var e *ConnectError
			require.ErrorAs(t, err, &e)
			require.ErrorIs(t, err, ErrPassword)
			assert.NotErrorIs(t, err, provider.ErrHypervisorNotReachable)
			assert.Contains(t, err.Error(), "keyfile=")
			assert.NotContains(t, err.Error(), "s3cret")
			assert.Empty(t, pool.open, "nothing was dialled")
		})
	}
}

func TestURLsWithoutAPasswordAreAccepted(t *testing.T) {
	for _, url := range []string{
		"qemu:///system", "test:///default", "qemu+ssh://root@host/system", "qemu+ssh://root@[::1]:22/system",
		"qemu+ssh://host:22/system?keyfile=/a:b@c", "qemu+unix:///system?socket=/run/a@b:c", "qemu+ssh://host:22/system?no_verify=1&socket=/a@b", "qemu+ssh://host:bad/system", "lxc:///", "",
	} {
		assert.NoError(t, CheckPassword(url), url)
	}
}
