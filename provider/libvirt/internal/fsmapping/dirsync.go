package fsmapping

import (
	"context"
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/internal/printable"
	"github.com/overcast-go/overcast/internal/shell"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/transfer"
	"github.com/overcast-go/overcast/provider/libvirt/internal/gc"
	"libvirt.org/go/libvirt"
)

// Copies that sync = true creates on the hypervisor's machine have the clone's name
// and a suffix. libvirt does not know them: they are created and removed over an
// SSH connection. The copies of a killed process are removed by the next one that
// copies a folder there, and by overcast gc.

// copiesDir exists on every machine, is writable for all users, and keeps its content
// when the machine restarts, as a kept clone may be restarted.
const copiesDir = "/var/tmp"

// Sync copies the folders with sync = true. Each copy is recorded before it is
// created.
func (f *Folders) Sync(ctx context.Context, conn *libvirt.Connect) error {
	var all []*mapping
	for _, m := range f.Mappings {
		if m.copyOf != "" {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil
	}
	client, err := f.loginToHypervisor(ctx)
	if err != nil {
		return f.located(all[0], "sync", err)
	}
	defer client.Close()
	_, _ = Copies{Client: client, Conn: conn}.Collect(ctx, gc.Options{}) // overcast gc reports what fails
	for _, m := range all {
		if err := f.copy(ctx, client, m); err != nil {
			return f.located(m, "sync", fmt.Errorf("copying %s to %s on %v: %w", m.copyOf, m.HostPath, client, err))
		}
		if err := f.checker.check(ctx, f.Undo, m); err != nil {
			return f.located(m, "sync", fmt.Errorf("the copy of %s has the same modes: %w", m.copyOf, err))
		}
	}
	return nil
}

func (f *Folders) copy(ctx context.Context, client *sshclient.Client, m *mapping) error {
	dir := m.HostPath
	f.Undo.Record(fmt.Sprintf("folder %s on %v", dir, client), func(ctx context.Context, _ *libvirt.Connect) error {
		client, err := f.loginToHypervisor(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		return removeCopy(ctx, client, dir)
	})
	// An existing folder belongs to another user.
	if err := must(client.Run(ctx, "mkdir -m 700 "+shell.Quote(dir))); err != nil {
		return err
	}
	return transfer.Upload(ctx, client, m.copyOf, dir)
}

// loginToHypervisor logs in to the hypervisor's machine.
func (f *Folders) loginToHypervisor(ctx context.Context) (*sshclient.Client, error) {
	target, err := f.Gateway()
	if err != nil {
		return nil, err
	}
	client, err := sshclient.Dial(ctx, *target, nil)
	if err != nil {
		return nil, fmt.Errorf("logging in to the hypervisor's machine as %v: %w", target, err)
	}
	return client, nil
}

// must turns a non-zero exit code into an error.
func must(result sshclient.Result, err error) error {
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("exited with %d: %s", result.ExitCode, printable.Excerpt(strings.TrimSpace(result.Stderr)))
	}
	return err
}
