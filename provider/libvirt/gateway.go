package libvirt

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/ssh"
)

var _ fixture.Gateway = (*instance)(nil)

// Gateway is how to log in to the hypervisor's machine, which is in front of
// all its guests. It is nil if that is this machine.
func (i *instance) Gateway() (*ssh.Target, error) { return i.config.gateway() }

// gateway works it out from libvirtURL, and from SSH.url where that is about
// the same machine: it may have a key and its passphrase, for which the other
// has no place.
func (c *Config) gateway() (*ssh.Target, error) {
	at, err := url.Parse(c.URL)
	if err != nil {
		var unfit *url.Error
		if errors.As(err, &unfit) {
			err = unfit.Err // it repeats the URL, with its password
		}
		return nil, fmt.Errorf("libvirtURL %s: %s", shownURL(c.URL), shownURL(err.Error()))
	}
	if at.Hostname() == "" {
		return nil, nil
	}
	if c.SSH.URL != "" {
		lookup, err := ssh.ParseURL(c.SSH.URL)
		if err == nil && lookup.Host == at.Hostname() && (at.User.Username() == "" || at.User.Username() == lookup.User) {
			return &lookup, nil
		}
	}
	target := &ssh.Target{User: at.User.Username(), Host: at.Hostname(), OS: "UNIX", ConnectionType: ssh.SCP}
	_, transport, _ := strings.Cut(at.Scheme, "+")
	if transport != "ssh" && transport != "libssh" && transport != "libssh2" {
		return target, nil // its port and its keys are for other things
	}
	if port := at.Port(); port != "" {
		if target.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("libvirtURL %s: port %q: %w", shownURL(c.URL), port, err)
		}
	}
	query := at.Query()
	target.PrivateKeyFile = query.Get("keyfile")
	target.KnownHosts = query.Get("known_hosts")
	if query.Get("no_verify") == "1" || query.Get("known_hosts_verify") == "ignore" {
		target.HostKey, target.KnownHosts = "insecure", ""
	}
	return target, nil
}
