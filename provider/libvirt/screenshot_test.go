package libvirt

import (
	"bytes"
	"context"
	"image/png"
	"testing"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScreenshotsAreConvertedToPNG(t *testing.T) {
	text, err := pngOf([]byte("P6\n2 1\n255\n\x0a\x14\x1e\x20\xff\x00"))
	require.NoError(t, err)
	shot, err := png.Decode(bytes.NewReader(text))
	require.NoError(t, err)
	assert.Equal(t, "(0,0)-(2,1)", shot.Bounds().String())
	r, g, b, a := shot.At(0, 0).RGBA()
	assert.Equal(t, []uint32{10, 20, 30, 255}, []uint32{r >> 8, g >> 8, b >> 8, a >> 8})
	r, g, b, _ = shot.At(1, 0).RGBA()
	assert.Equal(t, []uint32{32, 255, 0}, []uint32{r >> 8, g >> 8, b >> 8}, "a pixel that begins with a blank")
}

func TestInvalidScreenshotsAreErrors(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":         "",
		"another format":  "P5\n1 1\n255\nx",
		"cut short":       "P6\n2 1\n255\nabc",
		"too long":        "P6\n1 1\n255\nabcd",
		"endless":         "P6\n4294967296 4294967296\n255\nabc",
		"negative":        "P6\n-1 -1\n255\nabc",
		"two bytes a hue": "P6\n1 1\n65535\nabcdef",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pngOf([]byte(text))
			assert.ErrorContains(t, err, "reading the screenshot")
		})
	}
}

// meanwhile is a context that calls a function when it is first waited for.
type meanwhile struct {
	context.Context
	happens func()
}

func (m meanwhile) Done() <-chan struct{} {
	m.happens()
	return m.Context.Done()
}

func TestScreenshotCanBeTheLastUserOfAConnection(t *testing.T) {
	i := &instance{config: config{URL: "test:///default"}, pool: virt.NewConnections()}
	on, release, err := i.pool.Acquire(t.Context(), i.config.URL)
	require.NoError(t, err)
	i.watcher = virt.NewDomainWatcher(on, "absent", virt.DomainState{})
	defer i.stopWatching()
	require.NoError(t, on.Conn.Ref(), "to count the references")
	others := -1
	stop := i.pool.Loop.Stop
	i.pool.Loop.Stop = func() {
		others, _ = on.Conn.Close()
		stop()
	}
	_, err = i.Screenshot(meanwhile{t.Context(), release}) // the clone's use
	require.ErrorContains(t, err, "taking a screenshot of domain absent")
	assert.Zero(t, others, "when the event loop ends, the connection is closed")
}

// The guest chooses the size and the content of its screen.
func FuzzPNGOf(f *testing.F) {
	f.Add([]byte("P6\n2 1\n255\n\x0a\x14\x1e\x20\xff\x00"))
	f.Add([]byte("P6\n-1 99999999999\n255\n"))
	f.Fuzz(func(t *testing.T, ppm []byte) {
		shot, err := pngOf(ppm)
		if err != nil {
			return
		}
		if _, err := png.Decode(bytes.NewReader(shot)); err != nil {
			t.Error(err)
		}
	})
}
