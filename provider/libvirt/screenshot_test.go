package libvirt

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScreenshotsBecomePNG(t *testing.T) {
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

func TestScreenshotsThatAreNone(t *testing.T) {
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
