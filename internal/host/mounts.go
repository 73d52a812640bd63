package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/printable"
	"github.com/overcast-go/overcast/provider"
)

// Limits for one mount, and for unmounting all folders at teardown.
const (
	mountTimeout   = 30 * time.Second
	unmountTimeout = 5 * time.Second
)

// mountFolders mounts the folders of the host, with the login that provisions it.
func (h *Host) mountFolders(ctx context.Context) error {
	mounter, ok := h.instance.(provider.Mounter)
	if !ok {
		return nil
	}
	folders := mounter.Mounts()
	if len(folders) == 0 {
		return nil
	}
	client, done, err := h.provisioner(ctx)
	if err != nil {
		return fmt.Errorf("mounting folders: %w", err)
	}
	defer done()
	for _, folder := range folders {
		mounting, cancel := context.WithTimeoutCause(ctx, mountTimeout, fmt.Errorf("no answer within %v", mountTimeout))
		result, err := client.Run(mounting, folder.MountCommand())
		cancel()
		switch {
		case err != nil:
			return fmt.Errorf("mounting %s: %w", folder, err)
		case result.ExitCode != 0:
			return folder.Failed(printable.Excerpt(result.Stdout + result.Stderr))
		case strings.TrimSpace(result.Stdout) != "already":
			h.mounted = append(h.mounted, folder)
		}
	}
	return nil
}

// unmountFolders unmounts what mountFolders has mounted, so that everything that
// the guest has written is on the hypervisor. It is skipped for a host that does
// not run, and ends after unmountTimeout.
func (h *Host) unmountFolders(ctx context.Context) {
	if len(h.mounted) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, unmountTimeout)
	defer cancel()
	err := h.whileRunning(ctx, func(ctx context.Context) error {
		client, done, err := h.provisioner(ctx)
		if err != nil {
			return err
		}
		defer done()
		for _, folder := range slices.Backward(h.mounted) {
			if _, err := client.Run(ctx, folder.UnmountCommand()); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		h.mounted = nil
	}
}
