package libvirt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"

	"github.com/overcast-go/overcast/internal/mark"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

var _ provider.Screenshotter = (*instance)(nil)

// Screenshot returns the content of the clone's first screen.
func (i *instance) Screenshot(ctx context.Context) ([]byte, error) {
	w := i.getWatcher()
	if w == nil {
		return nil, errors.New("the clone does not exist")
	}
	// The clone, and its use of the connection, may be gone before the screenshot is.
	on, release, err := i.pool.Acquire(ctx, i.config.URL)
	if err != nil {
		return nil, err
	}
	taken := make(chan []byte, 1)
	// The call keeps the connection open as a user, and not by a reference: a reference
	// could be released when libvirt's event loop no longer runs.
	err = virt.WithContext(ctx, nil, func() error {
		defer release()
		shot, err := screenshot(on.Conn, w.Domain)
		taken <- shot
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("taking a screenshot of domain %s: %w", w.Domain, virt.StripCodes(err))
	}
	return <-taken, nil
}

// largestScreenshot limits what libvirt sends, in bytes: 4K in 24 bits has 25 MB.
const largestScreenshot = 32 << 20

func screenshot(conn *libvirt.Connect, name string) ([]byte, error) {
	domain, err := conn.LookupDomainByName(name)
	if err != nil {
		return nil, err
	}
	defer domain.Free()
	definition, err := virt.ReadDefinition(domain, 0)
	if err != nil {
		return nil, err
	}
	if definition.Devices == nil || len(definition.Devices.Videos) == 0 {
		return nil, mark.As(errors.New("it has no screen: add <video> and <graphics> to the definition of the base domain"), errors.ErrUnsupported)
	}
	stream, err := conn.NewStream(0)
	if err != nil {
		return nil, err
	}
	defer stream.Free()
	kind, err := domain.Screenshot(stream, 0, 0)
	if err != nil {
		return nil, err
	}
	var sent bytes.Buffer
	err = stream.RecvAll(func(_ *libvirt.Stream, part []byte) (int, error) {
		if sent.Len()+len(part) > largestScreenshot {
			return -1, fmt.Errorf("it is larger than %d bytes", largestScreenshot)
		}
		return sent.Write(part)
	})
	if err != nil {
		_ = stream.Abort()
		return nil, err
	}
	_ = stream.Finish() // everything was received
	if kind == "image/png" {
		return sent.Bytes(), nil
	}
	return pngOf(sent.Bytes())
}

// pngOf converts an image from binary PPM, which QEMU writes.
func pngOf(ppm []byte) ([]byte, error) {
	var width, height, depth int
	from := bytes.NewReader(ppm)
	if _, err := fmt.Fscanf(from, "P6\n%d %d\n%d\n", &width, &height, &depth); err != nil {
		return nil, fmt.Errorf("reading the screenshot as a PPM image: %w", err)
	}
	pixels := ppm[len(ppm)-from.Len():]
	if depth != 255 || width <= 0 || height <= 0 || width > len(pixels) || height > len(pixels) || width*height*3 != len(pixels) {
		return nil, fmt.Errorf("reading the screenshot: %d bytes do not fit a PPM image of %d times %d pixels with 255 shades", len(pixels), width, height)
	}
	shot := image.NewRGBA(image.Rect(0, 0, width, height))
	for n := range width * height {
		copy(shot.Pix[4*n:], pixels[3*n:3*n+3])
		shot.Pix[4*n+3] = 255
	}
	var text bytes.Buffer
	if err := png.Encode(&text, shot); err != nil {
		return nil, fmt.Errorf("writing the screenshot: %w", err)
	}
	return text.Bytes(), nil
}
