package image_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const fullDiskVariable = "IMAGE_TEST_FULL_DISK"

// TestGetOnASmallDisk runs in a mount namespace of its own, for TestAFullDisk.
func TestGetOnASmallDisk(t *testing.T) {
	if os.Getenv(fullDiskVariable) == "" {
		t.Skip("the process of another test")
	}
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("none", dir, "tmpfs", 0, "size=1m"))
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	big := disk(3 * mega)
	cache := &image.Cache{Dir: filepath.Join(dir, "images"), RetryWait: 1}
	s := serve(t, big)
	_, err := cache.Get(t.Context(), s.source(t, digest(big)), nil)
	requireFull(t, cache, err)
	assert.Len(t, s.ranges(), 1, "no retry")
	_, err = cache.Get(t.Context(), fileSource(t, write(t, "image", compress(t, "zstd", big))), nil)
	requireFull(t, cache, err)
	fmt.Println("the disk was full")
}

func requireFull(t *testing.T, cache *image.Cache, err error) {
	t.Helper()
	var full *image.DiskFullError
	require.ErrorAs(t, err, &full)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, fmt.Sprintf(": writing to the image cache %s: no space left on device: free space there, or put the cache on another file system", cache.Dir))
	for _, name := range files(t, cache) {
		assert.True(t, strings.HasPrefix(name, "file-"), "%s takes up space", name)
	}
}

func TestAFullDiskIsNamedAndFreedAgain(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestGetOnASmallDisk$", "-test.v")
	child.Env = append(os.Environ(), fullDiskVariable+"=yes")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Skipf("this system has no user namespaces for a small file system: %v", err)
	}
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "the disk was full")
}

func TestThePrinterDrawsOnATerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this system has no pseudo terminals: %v", err)
	}
	defer master.Close()
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	defer terminal.Close()
	progress := image.Progress{Source: "a", Step: "downloading", Done: 1, Total: 2}
	for _, test := range []struct{ term, want string }{
		{"xterm", "a [\x1b[32m############\x1b[0m------------] downloading: 1 bytes of 2 bytes (50 %)"},
		{"dumb", "image a: downloading: 1 bytes of 2 bytes (50 %)\r\n"},
	} {
		t.Setenv("TERM", test.term)
		t.Setenv("NO_COLOR", "")
		image.NewPrinter(terminal).Report(progress)
		shown := make([]byte, 1000)
		n, err := master.Read(shown)
		require.NoError(t, err)
		assert.Equal(t, test.want, string(bytes.TrimPrefix(shown[:n], []byte("\r\x1b[K"))))
	}
}
