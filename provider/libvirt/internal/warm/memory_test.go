package warm

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeMonitor is a QEMU that loads what it reads, and may refuse files that are no pipes.
type fakeMonitor struct {
	refusesToPass, refusesToRead, refusesToSave error

	file   *os.File // that was passed last
	loaded string
	saving atomic.Pointer[status] // nil while it loads
}

// migrate writes more memory than fits in a pipe.
func (m *fakeMonitor) migrate() {
	err := m.refusesToSave
	if err == nil {
		_, err = m.file.Write(make([]byte, memorySize))
	}
	now := status{Status: "completed"}
	if err != nil {
		now = status{"failed", err.Error()}
	}
	_ = m.file.Close()
	m.saving.Store(&now)
}

const memorySize = 1 << 20

func (m *fakeMonitor) PassFile(_ string, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() && m.refusesToPass != nil {
		return m.refusesToPass
	}
	own, err := syscall.Dup(int(file.Fd())) // the caller closes its own
	m.file = os.NewFile(uintptr(own), file.Name())
	return err
}

func (m *fakeMonitor) Execute(command string, _, result any) error {
	switch command {
	case "migrate-set-parameters":
		return nil
	case "migrate":
		go m.migrate()
		return nil
	case "migrate-incoming":
		info, err := m.file.Stat()
		if err == nil && info.Mode().IsRegular() {
			err = m.refusesToRead
		}
		return err
	case "query-migrate":
		if m.saving.Load() != nil {
			*result.(*status) = *m.saving.Load()
			return nil
		}
		content, err := io.ReadAll(m.file)
		m.loaded, result.(*status).Status = string(content), "completed"
		return err
	}
	return errors.New(command + " is unknown")
}

func TestMemoryIsLoadedThroughAPipeIfQEMURefusesItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "memory.raw")
	require.NoError(t, os.WriteFile(file, []byte("from the file"), 0o600))
	download := func(to io.Writer) error {
		_, err := io.WriteString(to, "from a pipe")
		return err
	}
	for name, c := range map[string]struct {
		path string
		qemu *fakeMonitor
		want string
	}{
		"a file":            {file, &fakeMonitor{}, "from the file"},
		"no access":         {file + ".none", &fakeMonitor{}, "from a pipe"},
		"a security driver": {file, &fakeMonitor{refusesToPass: errors.New("getfd: No file descriptor supplied via SCM_RIGHTS")}, "from a pipe"},
		"a later QEMU":      {file, &fakeMonitor{refusesToRead: errors.New("migrate-incoming: fd: migration to a file is not supported. Use file: instead.")}, "from a pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, load(t.Context(), c.qemu, c.path, download))
			assert.Equal(t, c.want, c.qemu.loaded)
		})
	}
}

func TestASaveEndsWhenItsVolumeCannotBeWritten(t *testing.T) {
	for name, read := range map[string]int64{"at once": 0, "later": memorySize / 2} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			qemu := &fakeMonitor{}
			qemu.saving.Store(&status{Status: "active"})
			err := save(ctx, qemu, func(from io.Reader) error {
				_, err := io.CopyN(io.Discard, from, read)
				return errors.Join(err, syscall.ENOSPC)
			})
			require.EqualError(t, err, "writing its volume: no space left on device")
			require.NoError(t, ctx.Err(), "it does not wait for QEMU")
		})
	}
}

func TestASaveReturnsTheErrorOfQEMU(t *testing.T) {
	qemu := &fakeMonitor{refusesToSave: errors.New("the device is not migratable")}
	qemu.saving.Store(&status{Status: "active"})
	err := save(t.Context(), qemu, func(from io.Reader) error {
		_, err := io.Copy(io.Discard, from)
		return err
	})
	require.EqualError(t, err, "migrate: the device is not migratable")
}
