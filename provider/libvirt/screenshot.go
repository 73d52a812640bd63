package libvirt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

var (
	_ provider.Screenshotter = (*instance)(nil)
	_ provider.StateReporter = (*instance)(nil)
)

// State is the state of the clone as virsh shows it, as events have reported it.
func (i *instance) State() string {
	if w := i.getWatcher(); w != nil {
		return w.StateName()
	}
	return ""
}

// Screenshot is what the clone's first screen shows.
func (i *instance) Screenshot(ctx context.Context) ([]byte, error) {
	w := i.getWatcher()
	if w == nil {
		return nil, errors.New("there is no clone to look at")
	}
	// The clone may be taken away meanwhile, and its connection with it.
	on, release, err := i.pool.Acquire(ctx, i.config.URL)
	if err != nil {
		return nil, err
	}
	taken := make(chan []byte, 1)
	// Its use keeps the connection open, and so does no reference: that would be
	// given back when, without a user, nobody runs libvirt's event loop any more.
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

// largestScreenshot is in bytes, as libvirt sends it: 4K in 24 bits has 25 MB.
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
		return nil, fmt.Errorf("it has no screen: %w", errors.ErrUnsupported)
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
	_ = stream.Finish() // there is nothing more to come
	if kind == "image/png" {
		return sent.Bytes(), nil
	}
	return pngOf(sent.Bytes())
}

// pngOf converts an image from PPM, in the binary form that QEMU writes it in.
func pngOf(ppm []byte) ([]byte, error) {
	var width, height, depth int
	from := bytes.NewReader(ppm)
	if _, err := fmt.Fscanf(from, "P6\n%d %d\n%d\n", &width, &height, &depth); err != nil {
		return nil, fmt.Errorf("reading the screenshot, which is to be a PPM: %w", err)
	}
	pixels := ppm[len(ppm)-from.Len():]
	if depth != 255 || width <= 0 || height <= 0 || width > len(pixels) || height > len(pixels) || width*height*3 != len(pixels) {
		return nil, fmt.Errorf("reading the screenshot: %d bytes are none of a PPM of %d times %d pixels, of 255 shades", len(pixels), width, height)
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
