// Package warm saves the memory of a running domain to a volume, and restores it into a new
// domain, so that a clone starts without booting.
//
// libvirt's own virDomainRestore cannot destroy the restored domain when its client ends. So
// QEMU's migration is used instead: the memory of a paused domain migrates to a pipe, from
// which it is written to a volume. To restore it, a new domain is started that waits for a
// migration (the argument "-incoming defer" of QEMU), and gets the open file of the volume, or a
// pipe if this process may not open it. libvirt sees an ordinary domain, which it destroys when
// the connection ends. QEMU need not be allowed to open the file of the volume.
//
// Neither can be passed to a hypervisor of another machine. There, libvirt saves the memory to a
// volume, see [SaveImage], and the restored domain has no autodestroy.
package warm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/qmp"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// pipeName is the name under which QEMU knows its end of the pipe.
const pipeName = "overcast-memory"

// Save writes the memory and the state of the devices of a paused domain to a volume. If it
// fails, the domain can be resumed. Otherwise QEMU has closed the disks.
func Save(ctx context.Context, conn *libvirt.Connect, domain *libvirt.Domain, to storage.VolumeRef) error {
	from, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer from.Close()
	if err := pass(domain, theirs); err != nil {
		return err
	}
	writing := virt.Async(func() error { return write(ctx, conn, to, from) })
	if err := migrate(ctx, domain, "migrate"); err != nil {
		_ = from.Close() // ends the writing
		writing.Await(ctx)
		return err
	}
	if !writing.Await(ctx) {
		return context.Cause(ctx)
	}
	return writing.Err
}

// Load restores what Save has saved, into a domain that waits for it. The domain stays paused.
func Load(ctx context.Context, conn *libvirt.Connect, domain *libvirt.Domain, from storage.VolumeRef) error {
	volume, path, err := lookUp(conn, from)
	if err != nil {
		return err
	}
	defer volume.Free()
	if file, err := os.Open(path); err == nil { // QEMU reads it itself
		if err := pass(domain, file); err != nil {
			return err
		}
		return migrate(ctx, domain, "migrate-incoming")
	}
	return loadThrough(ctx, conn, domain, volume)
}

// loadThrough restores the content of a volume that libvirt reads.
func loadThrough(ctx context.Context, conn *libvirt.Connect, domain *libvirt.Domain, volume *libvirt.StorageVol) error {
	theirs, to, err := os.Pipe()
	if err != nil {
		return err
	}
	if err := pass(domain, theirs); err != nil {
		_ = to.Close()
		return err
	}
	reading := virt.Async(func() error {
		defer to.Close()
		return layers.Download(ctx, conn, volume, to, 0)
	})
	if err = migrate(ctx, domain, "migrate-incoming"); err != nil {
		_ = to.Close() // ends the reading
	}
	if !reading.Await(ctx) {
		return context.Cause(ctx)
	}
	if err == nil && reading.Err != nil {
		return fmt.Errorf("reading its volume: %w", reading.Err)
	}
	return err
}

// pass gives QEMU its end of the pipe, and closes it here.
func pass(domain *libvirt.Domain, end *os.File) error {
	return errors.Join(qmp.PassFile(domain, pipeName, end), end.Close())
}

// status is the answer to query-migrate.
type status struct {
	Status string `json:"status"`
	Error  string `json:"error-desc"`
}

// Intervals at which QEMU is asked whether a migration has ended.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 10 * time.Millisecond
)

// migrate runs a migration through the pipe and waits for its end.
func migrate(ctx context.Context, domain *libvirt.Domain, command string) error {
	if command == "migrate" {
		// Otherwise QEMU limits the bandwidth, as for a network.
		if err := qmp.Execute(domain, "migrate-set-parameters", map[string]any{"max-bandwidth": int64(math.MaxInt64 / 1000)}, nil); err != nil {
			return err
		}
	}
	if err := qmp.Execute(domain, command, map[string]any{"uri": "fd:" + pipeName}, nil); err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		var now status
		if err := qmp.Execute(domain, "query-migrate", nil, &now); err != nil {
			return err
		}
		switch now.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return errors.New(command + ": " + cmp.Or(now.Error, now.Status))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("waiting for QEMU: %w", context.Cause(ctx))
		}
	}
}

// write writes what comes from QEMU to a volume: to its file, if this process may, and
// otherwise through libvirt.
func write(ctx context.Context, conn *libvirt.Connect, to storage.VolumeRef, from io.Reader) error {
	volume, path, err := lookUp(conn, to)
	if err != nil {
		return err
	}
	defer volume.Free()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return layers.Upload(ctx, conn, volume, from, 0)
	}
	_, err = io.Copy(file, from)
	return errors.Join(err, file.Sync(), file.Close())
}

func lookUp(conn *libvirt.Connect, of storage.VolumeRef) (*libvirt.StorageVol, string, error) {
	volume, err := storage.LookUpVolume(conn, of)
	if err != nil {
		return nil, "", err
	}
	path, err := volume.GetPath()
	if err != nil {
		_ = volume.Free()
		return nil, "", virt.StripCodes(err)
	}
	return volume, path, nil
}
