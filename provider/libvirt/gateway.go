package libvirt

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
)

var _ provider.Gateway = (*instance)(nil)

// Gateway returns the connection URL of the hypervisor's machine, or "" if that is this
// machine.
func (i *instance) Gateway() (string, error) { return i.config.gateway() }

// gatewayTarget returns the gateway as a target, or nil.
func (i *instance) gatewayTarget() (*sshurl.Target, error) {
	url, err := i.Gateway()
	if err != nil || url == "" {
		return nil, err
	}
	target, err := sshurl.ParseURL(url)
	return &target, err
}

// gateway derives the connection URL from libvirtURL, or from SSH.url if that names
// the same machine: it may have a key with a passphrase, for which libvirtURL has
// no place.
func (c *config) gateway() (string, error) {
	at, err := url.Parse(c.URL)
	if err != nil {
		var unfit *url.Error
		if errors.As(err, &unfit) {
			err = unfit.Err // the outer error repeats the URL, with its password
		}
		shown, secrets := redact.Redact(c.URL)
		return "", fmt.Errorf("libvirtURL %s: %s", shown, redact.Hide(err.Error(), secrets))
	}
	if at.Hostname() == "" {
		return "", nil
	}
	if c.SSH.URL != "" {
		lookup, err := sshurl.ParseURL(c.SSH.URL)
		if err == nil && lookup.Host == at.Hostname() && (at.User.Username() == "" || at.User.Username() == lookup.User) {
			return c.SSH.URL, nil
		}
	}
	target := &sshurl.Target{User: at.User.Username(), Host: at.Hostname(), OS: "UNIX", ConnectionType: sshurl.SCP}
	_, transport, _ := strings.Cut(at.Scheme, "+")
	if transport != "ssh" && transport != "libssh" && transport != "libssh2" {
		return target.String(), nil // its port and its keys are not those of SSH
	}
	if port := at.Port(); port != "" {
		if target.Port, err = strconv.Atoi(port); err != nil {
			return "", fmt.Errorf("libvirtURL %s: port %q: %w", redact.Text(c.URL), port, err)
		}
	}
	query := at.Query()
	target.PrivateKeyFile = query.Get("keyfile")
	target.KnownHosts = query.Get("known_hosts")
	if query.Get("no_verify") == "1" || query.Get("known_hosts_verify") == "ignore" {
		target.HostKey, target.KnownHosts = "insecure", ""
	}
	return target.String(), nil
}
