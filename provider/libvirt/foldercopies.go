package libvirt

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/overcast-go/overcast/internal/ssh"
	"libvirt.org/go/libvirt"
)

// Copies of folders that sync = true makes on the hypervisor's machine. They
// have the clone's name and a suffix, as all that is made for it. libvirt knows
// nothing of them: they are made and taken away over an SSH connection to the
// machine. What a process leaves that is killed, the next that copies
// something there takes away.

// copiesFolder is there on every machine, anybody may write to it, and what is
// in it outlives a restart, as a clone that is kept may.
const copiesFolder = "/var/tmp"

// copyFolders copies what is to be copied. Each copy is recorded before it is
// made.
func (i *instance) copyFolders(ctx context.Context, on *connection) error {
	var all []*mapping
	for _, m := range i.folders {
		if m.copyOf != "" {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil
	}
	client, err := i.loginToHypervisor(ctx)
	if err != nil {
		return i.failed(all[0], "sync", err)
	}
	defer client.Close()
	removeStaleCopies(ctx, on.conn, client)
	for _, m := range all {
		if err := i.copyFolder(ctx, client, m); err != nil {
			return i.failed(m, "sync", fmt.Errorf("copying %s to %s on %v: %w", m.copyOf, m.HostPath, client, err))
		}
		if err := i.look.check(ctx, i.undo, m); err != nil {
			return i.failed(m, "sync", fmt.Errorf("the copy of %s has the modes of what it was made of: %w", m.copyOf, err))
		}
	}
	return nil
}

func (i *instance) copyFolder(ctx context.Context, client *ssh.Client, m *mapping) error {
	dir := m.HostPath
	i.undo.record(fmt.Sprintf("folder %s on %v", dir, client), func(ctx context.Context, _ *libvirt.Connect) error {
		client, err := i.loginToHypervisor(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		return removeCopy(ctx, client, dir)
	})
	// A folder that is there already is somebody else's.
	if err := must(client.Run(ctx, "mkdir -m 700 "+ssh.Quote(dir))); err != nil {
		return err
	}
	return client.Upload(ctx, m.copyOf, dir)
}

// loginToHypervisor logs in to its machine.
func (i *instance) loginToHypervisor(ctx context.Context) (*ssh.Client, error) {
	target, err := i.gatewayTarget()
	if err != nil {
		return nil, err
	}
	client, err := ssh.Dial(ctx, *target, nil)
	if err != nil {
		return nil, fmt.Errorf("logging in to the hypervisor's machine as %v: %w", target, err)
	}
	return client, nil
}

// removeCopy takes a copy away; one that is gone already is no error. Folders
// that may not be written to are part of what was copied.
func removeCopy(ctx context.Context, client *ssh.Client, dir string) error {
	quoted := ssh.Quote(dir)
	return must(client.Run(ctx, fmt.Sprintf("[ ! -e %s ] || { find %[1]s -type d ! -perm -700 -exec chmod u+rwx {} \\; ; rm -rf %[1]s; }", quoted)))
}

// removeStaleCopies takes away what processes of this machine have left that
// have ended, unless a clone uses it still. It is no reason not to go on if
// that fails.
func removeStaleCopies(ctx context.Context, conn *libvirt.Connect, client *ssh.Client) {
	result, err := client.Run(ctx, fmt.Sprintf("cd %s && ls -d %s*-fs* 2>/dev/null", copiesFolder, NamePrefix))
	if err != nil {
		return
	}
	for _, name := range strings.Fields(result.Stdout) {
		made, ok := parseName(name)
		if !ok || made.owner.fate(self()) != fateGone {
			continue
		}
		domain, err := conn.LookupDomainByName(made.clone)
		if err == nil {
			_ = domain.Free() // it is kept
			continue
		}
		if isCode(err, libvirt.ERR_NO_DOMAIN) {
			_ = removeCopy(ctx, client, path.Join(copiesFolder, name))
		}
	}
}

// must makes an error of a command that has failed.
func must(result ssh.Result, err error) error {
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("exited with %d: %s", result.ExitCode, strings.TrimSpace(result.Stderr))
	}
	return err
}
