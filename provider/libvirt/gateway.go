package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/provider"
)

var _ provider.Gateway = (*instance)(nil)

// Gateway is the connection URL of the hypervisor's machine, or "" if that is this
// machine.
func (i *instance) Gateway() (string, error) { return i.config.gateway() }

// gatewayTarget is Gateway as a target, or nil.
func (i *instance) gatewayTarget() (*ssh.Target, error) {
	url, err := i.Gateway()
	if err != nil || url == "" {
		return nil, err
	}
	target, err := ssh.ParseURL(url)
	return &target, err
}

// gateway derives the connection URL from libvirtURL, or from SSH.url if that names
// the same machine: it may have a key with a passphrase, for which libvirtURL has
// no place.
func (c *Config) gateway() (string, error) {
	at, err := url.Parse(c.URL)
	if err != nil {
		var unfit *url.Error
		if errors.As(err, &unfit) {
			err = unfit.Err // it repeats the URL, with its password
		}
		return "", fmt.Errorf("libvirtURL %s: %s", shownURL(c.URL), shownURL(err.Error()))
	}
	if at.Hostname() == "" {
		return "", nil
	}
	if c.SSH.URL != "" {
		lookup, err := ssh.ParseURL(c.SSH.URL)
		if err == nil && lookup.Host == at.Hostname() && (at.User.Username() == "" || at.User.Username() == lookup.User) {
			return c.SSH.URL, nil
		}
	}
	target := &ssh.Target{User: at.User.Username(), Host: at.Hostname(), OS: "UNIX", ConnectionType: ssh.SCP}
	_, transport, _ := strings.Cut(at.Scheme, "+")
	if transport != "ssh" && transport != "libssh" && transport != "libssh2" {
		return target.String(), nil // its port and its keys are not those of SSH
	}
	if port := at.Port(); port != "" {
		if target.Port, err = strconv.Atoi(port); err != nil {
			return "", fmt.Errorf("libvirtURL %s: port %q: %w", shownURL(c.URL), port, err)
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

// gatewayLogin is a connection to the hypervisor's machine that is made when it
// is first used. It is closed when the context of that use ends.
type gatewayLogin struct {
	target func() (*ssh.Target, error)

	mu     sync.Mutex
	client *ssh.Client
}

// isLocal reports whether the hypervisor's machine is this one.
func (g *gatewayLogin) isLocal() bool {
	target, err := g.target()
	return err == nil && target == nil
}

func (g *gatewayLogin) connect(ctx context.Context) (*ssh.Client, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.client != nil {
		return g.client, nil
	}
	target, err := g.target()
	if err != nil {
		return nil, err
	}
	if target == nil {
		return nil, errors.New("the hypervisor's machine is this one")
	}
	client, err := ssh.Dial(ctx, *target, nil)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { client.Close() })
	g.client = client
	return client, nil
}

// run executes a command on the hypervisor's machine, which may be this one, and
// returns what it prints.
func (g *gatewayLogin) run(ctx context.Context, command string) (string, error) {
	if g.isLocal() {
		words := strings.Fields(command)
		out, err := exec.CommandContext(ctx, words[0], words[1:]...).Output()
		if err != nil {
			return "", fmt.Errorf("%s: %w", command, err)
		}
		return string(out), nil
	}
	client, err := g.connect(ctx)
	if err != nil {
		return "", err
	}
	result, err := client.Run(ctx, command)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("it exited with %d: %s", result.ExitCode, strings.TrimSpace(result.Stderr))
	}
	if err != nil {
		return "", fmt.Errorf("%s on %s: %w", command, client, err)
	}
	return result.Stdout, nil
}
