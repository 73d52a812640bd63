// Package snapshot saves and restores the state of a running domain inside its
// disks, by commands to QEMU's monitor. Unlike libvirt's own snapshots, they work
// on disks whose files have been unlinked, and they do not restart QEMU: the
// domain stays the same for libvirt, and keeps its autodestroy flag.
package snapshot

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/qmp"
	"libvirt.org/go/libvirt"
)

// execute sends a command to the monitor of a domain. The error says what to do about a
// refusal of libvirt's.
func execute(domain *libvirt.Domain, command string, arguments, result any) error {
	return explainRefusal(qmp.Execute(domain, command, arguments, result))
}

// Save saves the memory, the devices and the disks of a paused domain. disks are all of
// its writable ones.
func Save(ctx context.Context, domain *libvirt.Domain, disks Disks, snapshot string) error {
	return change(ctx, domain, disks, "snapshot-save", snapshot, true)
}

// Load restores what Save has saved. The domain stays paused.
func Load(ctx context.Context, domain *libvirt.Domain, disks Disks, snapshot string) error {
	return change(ctx, domain, disks, "snapshot-load", snapshot, true)
}

// Delete removes a snapshot.
func Delete(ctx context.Context, domain *libvirt.Domain, disks Disks, snapshot string) error {
	return change(ctx, domain, disks, "snapshot-delete", snapshot, false)
}

// change runs one of QEMU's snapshot jobs. The memory is in the first disk.
func change(ctx context.Context, domain *libvirt.Domain, disks Disks, command, snapshot string, memory bool) error {
	id := "overcast-" + rand.Text() // a call that ended before its job has left one
	arguments := map[string]any{"job-id": id, "tag": snapshot, "devices": disks.names()}
	if memory {
		arguments["vmstate"] = disks[0].Name
	}
	if err := execute(domain, command, arguments, nil); err != nil {
		if qmp.IsUnknownCommand(err) {
			return blocked("QEMU has no command %s: update it: checkpoints need QEMU 6.0 or later", command)
		}
		return err
	}
	return awaitJob(ctx, domain, id)
}

// job is a job of QEMU.
type job struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Error  string `json:"error"`
}

// A job of a small guest has ended when QEMU answers the first query, because QEMU
// does nothing else meanwhile.
const (
	firstJobPause = 2 * time.Millisecond
	lastJobPause  = 100 * time.Millisecond
)

// awaitJob waits for the end of a job.
func awaitJob(ctx context.Context, domain *libvirt.Domain, id string) error {
	for pause := firstJobPause; ; pause = min(2*pause, lastJobPause) {
		var jobs []job
		if err := execute(domain, "query-jobs", nil, &jobs); err != nil {
			return err
		}
		for _, j := range jobs {
			if j.ID != id || j.Status != "concluded" {
				continue
			}
			err := execute(domain, "job-dismiss", map[string]any{"id": id}, nil)
			if j.Error != "" {
				err = explain(j.Error)
			}
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("waiting for QEMU: %w", context.Cause(ctx))
		}
	}
}
