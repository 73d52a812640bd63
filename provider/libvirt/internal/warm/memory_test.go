package warm

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeMonitor is a QEMU that loads what it reads, and may refuse files that are no pipes.
type fakeMonitor struct {
	refusesToPass, refusesToRead error

	file   *os.File // that was passed last
	loaded string
}

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
	case "migrate-incoming":
		info, err := m.file.Stat()
		if err == nil && info.Mode().IsRegular() {
			err = m.refusesToRead
		}
		return err
	case "query-migrate":
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
		qemu fakeMonitor
		want string
	}{
		"a file":            {file, fakeMonitor{}, "from the file"},
		"no access":         {file + ".none", fakeMonitor{}, "from a pipe"},
		"a security driver": {file, fakeMonitor{refusesToPass: errors.New("getfd: No file descriptor supplied via SCM_RIGHTS")}, "from a pipe"},
		"a later QEMU":      {file, fakeMonitor{refusesToRead: errors.New("migrate-incoming: fd: migration to a file is not supported. Use file: instead.")}, "from a pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, load(t.Context(), &c.qemu, c.path, download))
			assert.Equal(t, c.want, c.qemu.loaded)
		})
	}
}
