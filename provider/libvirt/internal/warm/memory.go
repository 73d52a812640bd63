// Package warm saves the memory of a running domain to a volume, and restores it into a new
// domain, so that a clone starts without booting.
//
// libvirt's own virDomainRestore cannot destroy the restored domain when its client ends. So
// QEMU's migration is used instead: the memory of a paused domain migrates to a pipe, from
// which it is written to a volume. To restore it, a new domain is started that waits for a
// migration (the argument "-incoming defer" of QEMU), and gets the open file of the volume, or a
// pipe if this process may not open it or QEMU does not take it. libvirt sees an ordinary domain,
// which it destroys when the connection ends. QEMU need not be allowed to open the file of the
// volume.
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
	return save(ctx, domainMonitor{domain}, func(from io.Reader) error { return write(ctx, conn, to, from) })
}

// save has write read the memory from a pipe that QEMU writes to.
func save(ctx context.Context, m monitor, write func(io.Reader) error) error {
	from, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer from.Close()
	if err := unlimit(m); err != nil {
		_ = theirs.Close()
		return err
	}
	writing := virt.Async(func() error {
		defer from.Close() // a write that has failed ends the migration
		return write(from)
	})
	if err = migrate(ctx, m, "migrate", theirs); err != nil {
		_ = from.Close() // ends the writing
	}
	if !writing.Await(ctx) {
		return context.Cause(ctx)
	}
	if writing.Err != nil && !errors.Is(writing.Err, os.ErrClosed) {
		return fmt.Errorf("writing its volume: %w", writing.Err)
	}
	return err
}

// unlimit removes QEMU's limit of the bandwidth, which is that of a network.
func unlimit(m monitor) error {
	return m.Execute("migrate-set-parameters", map[string]any{"max-bandwidth": int64(math.MaxInt64 / 1000)}, nil)
}

// Load restores what Save has saved, into a domain that waits for it. The domain stays paused.
func Load(ctx context.Context, conn *libvirt.Connect, domain *libvirt.Domain, from storage.VolumeRef) error {
	volume, path, err := lookUp(conn, from)
	if err != nil {
		return err
	}
	defer volume.Free()
	return load(ctx, domainMonitor{domain}, path, func(to io.Writer) error { return layers.Download(ctx, conn, volume, to, 0) })
}

// load restores the memory in a file, which QEMU reads itself if this process may open it.
// QEMU may refuse an open file: SELinux and AppArmor check a file when it is passed, and a
// later QEMU takes only pipes and sockets. It then gets a pipe.
func load(ctx context.Context, m monitor, path string, download func(io.Writer) error) error {
	if file, err := os.Open(path); err == nil && begin(m, "migrate-incoming", file) == nil {
		return await(ctx, m, "migrate-incoming")
	}
	return loadThrough(ctx, m, download)
}

// loadThrough restores the content of a volume that libvirt reads.
func loadThrough(ctx context.Context, m monitor, download func(io.Writer) error) error {
	theirs, to, err := os.Pipe()
	if err != nil {
		return err
	}
	reading := virt.Async(func() error {
		defer to.Close()
		return download(to)
	})
	if err = migrate(ctx, m, "migrate-incoming", theirs); err != nil {
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

// monitor is what this package needs of QEMU's monitor.
type monitor interface {
	PassFile(name string, file *os.File) error
	Execute(command string, arguments, result any) error
}

// domainMonitor is the monitor of a domain.
type domainMonitor struct{ domain *libvirt.Domain }

func (m domainMonitor) PassFile(name string, file *os.File) error {
	return qmp.PassFile(m.domain, name, file)
}

func (m domainMonitor) Execute(command string, arguments, result any) error {
	return qmp.Execute(m.domain, command, arguments, result)
}

// pass gives QEMU its end of the pipe, or a file, and closes it here.
func pass(m monitor, end *os.File) error {
	return errors.Join(m.PassFile(pipeName, end), end.Close())
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

// migrate runs a migration through a file and waits for its end.
func migrate(ctx context.Context, m monitor, command string, through *os.File) error {
	if err := begin(m, command, through); err != nil {
		return err
	}
	return await(ctx, m, command)
}

// begin passes a file to QEMU and starts a migration through it.
func begin(m monitor, command string, through *os.File) error {
	if err := pass(m, through); err != nil {
		return err
	}
	return m.Execute(command, map[string]any{"uri": "fd:" + pipeName}, nil)
}

// await waits for the end of a migration that a command has started.
func await(ctx context.Context, m monitor, command string) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		var now status
		if err := m.Execute("query-migrate", nil, &now); err != nil {
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
