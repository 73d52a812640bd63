package virt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"sync"

	"github.com/overcast-go/overcast/internal/printable"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"libvirt.org/go/libvirt"
)

// Gateway is an SSH connection to the hypervisor's machine. The first use opens it,
// and it is closed when the context of that use ends.
type Gateway struct {
	Target func() (*sshurl.Target, error) // nil if the machine is this one

	mu     sync.Mutex
	client *sshclient.Client
}

// IsLocal reports whether the hypervisor's machine is this one.
func (g *Gateway) IsLocal() bool {
	target, err := g.Target()
	return err == nil && target == nil
}

// Connect returns the connection, and opens it if need be.
func (g *Gateway) Connect(ctx context.Context) (*sshclient.Client, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.client != nil {
		return g.client, nil
	}
	target, err := g.Target()
	if err != nil {
		return nil, err
	}
	if target == nil {
		return nil, errors.New("the hypervisor's machine is this one")
	}
	client, err := sshclient.Dial(ctx, *target, nil)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { client.Close() })
	g.client = client
	return client, nil
}

// Run runs a command on the hypervisor's machine, which may be this one, and returns
// its standard output.
func (g *Gateway) Run(ctx context.Context, command string) (string, error) {
	if g.IsLocal() {
		words := strings.Fields(command)
		out, err := exec.CommandContext(ctx, words[0], words[1:]...).Output()
		if err != nil {
			return "", fmt.Errorf("%s: %w", command, err)
		}
		return string(out), nil
	}
	client, err := g.Connect(ctx)
	if err != nil {
		return "", err
	}
	result, err := client.Run(ctx, command)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("it exited with %d: %s", result.ExitCode, printable.Excerpt(strings.TrimSpace(result.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("%s on %s: %w", command, client, err)
	}
	return result.Stdout, nil
}

// IsLocal reports whether a hypervisor is on this machine, by its URL.
func IsLocal(conn *libvirt.Connect) bool {
	text, err := conn.GetURI()
	if err != nil {
		return false
	}
	at, err := url.Parse(text)
	return err == nil && at.Host == ""
}
