package image_test

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

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
