package image_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/stretchr/testify/assert"
)

const gib = 1 << 30

func TestLinesAreTenSecondsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := image.NewPrinter(&out)
		for second := range 26 {
			p.Report(image.Progress{Source: "a", Step: "downloading", Done: int64(second) * gib / 10, Total: 4 * gib, Rate: gib / 10})
			time.Sleep(time.Second)
		}
		p.Report(image.Progress{Source: "a", Step: "decompressing", Done: 0, Total: 4 * gib})
		p.Report(image.Progress{Source: "b", Step: "waiting for process 4711"})
		p.Report(image.Progress{Source: "a", Step: "decompressing", Done: 4 * gib, Total: 4 * gib, End: true})
		p.Report(image.Progress{Source: "b", Step: "waiting for process 4711", End: true, Err: errors.New("printed elsewhere")})
		assert.Equal(t, `image a: downloading: 0 bytes of 4.0 GiB (0 %), 102 MiB/s, 40s left
image a: downloading: 1.0 GiB of 4.0 GiB (25 %), 102 MiB/s, 30s left
image a: downloading: 2.0 GiB of 4.0 GiB (50 %), 102 MiB/s, 20s left
image a: decompressing: 0 bytes of 4.0 GiB (0 %)
image b: waiting for process 4711
image a: ready after 26s
`, out.String())
	})
}

// screen is what is on a terminal after an output, without colors.
func screen(out string) string {
	var lines []string
	for _, line := range strings.Split(out, "\n") {
		if erased := strings.LastIndex(line, "\r\x1b[K"); erased >= 0 {
			line = line[erased+len("\r\x1b[K"):]
		}
		lines = append(lines, line)
	}
	return strings.NewReplacer("\x1b[32m", "", "\x1b[0m", "").Replace(strings.Join(lines, "\n"))
}

func TestTheBarFitsTheTerminalAndGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := image.NewBarPrinter(&out, 100)
		source := "https://example.org/images/debian-12-genericcloud-amd64.qcow2"
		p.Report(image.Progress{Source: source, Step: "downloading", Done: gib / 2, Total: gib})
		assert.Equal(t, "...an-12-genericcloud-amd64.qcow2 [############------------] downloading: 512 MiB of 1.0 GiB (50 %)", screen(out.String()))
		p.Report(image.Progress{Source: "b", Step: "downloading", Done: 2000})
		assert.Len(t, screen(out.String()), 99)
		assert.Contains(t, screen(out.String()), " (and 1 more)")
		time.Sleep(3 * time.Second)
		p.Report(image.Progress{Source: source, Step: "downloading", Done: gib, Total: gib, End: true})
		assert.Equal(t, "image "+source+": ready after 3s\nb downloading: 2.0 KiB", screen(out.String()))
		p.Report(image.Progress{Source: "b", Step: "downloading", End: true, Err: errors.New("printed elsewhere")})
		assert.Equal(t, "image "+source+": ready after 3s\n", screen(out.String()))
	})
}

func TestTheBarIsCutOnANarrowTerminal(t *testing.T) {
	for width := range 60 {
		var out strings.Builder
		image.NewBarPrinter(&out, width).Report(image.Progress{Source: "ein-großes-Bild.qcow2", Step: "downloading", Done: gib / 3, Total: gib})
		assert.LessOrEqual(t, len([]rune(screen(out.String()))), max(0, width-1), out.String())
	}
}

func TestColorsFollowNOCOLOR(t *testing.T) {
	for _, test := range []struct {
		value string
		color bool
	}{{"", true}, {"1", false}} {
		t.Setenv("NO_COLOR", test.value)
		var out strings.Builder
		image.NewBarPrinter(&out, 80).Report(image.Progress{Source: "a", Step: "downloading", Done: 1, Total: 2})
		assert.Equal(t, test.color, strings.Contains(out.String(), "\x1b[32m############\x1b[0m"), "NO_COLOR=%s", test.value)
		assert.Contains(t, screen(out.String()), "############-")
	}
}

func ExamplePrinter() {
	var out strings.Builder // os.Stderr in a program
	p := image.NewPrinter(&out)
	p.Report(image.Progress{Source: "https://example.org/debian.qcow2", Step: "downloading", Done: 120 << 20, Total: 1 << 30, Rate: 12 << 20})
	fmt.Print(out.String())
	// Output: image https://example.org/debian.qcow2: downloading: 120 MiB of 1.0 GiB (11 %), 12 MiB/s, 1m15s left
}
