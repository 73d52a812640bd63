package libvirt

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/image"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"libvirt.org/go/libvirt"
)

// Values of [Layer.Kind].
const (
	KindImage       = layers.KindImage       // an imported image
	KindProvisioned = layers.KindProvisioned // a host that was provisioned
	KindWarm        = layers.KindWarm        // a host whose memory was saved
	KindJava        = layers.KindJava        // a host that Overcast for Java has provisioned
)

// DefaultCacheMaxAge is the default of the key cacheMaxAge.
const DefaultCacheMaxAge = layers.DefaultMaxAge

// Layer is an image or a provisioned host that a hypervisor has in its cache.
type Layer struct {
	Name   string    `json:"name"`   // of its domain
	Kind   string    `json:"kind"`   // see KindImage
	Key    string    `json:"key"`    // digest; "" for KindJava
	Parent string    `json:"parent"` // the base domain, or the image's file or URL
	Label  string    `json:"label"`  // of the host that it was built for; "" for KindJava
	Built  time.Time `json:"built"`
	Used   time.Time `json:"used,omitzero"`   // last; zero for KindJava
	Bytes  uint64    `json:"bytes"`           // on disk
	UsedBy []string  `json:"usedBy,omitzero"` // domains and volumes that refer to it; a pool of it that is stopped, as "pool NAME (stopped)"
}

// ListLayers lists the layers of a hypervisor, and the domains that Overcast for Java has
// cached, which are neither used nor removed. With an error, the result is what could be
// listed.
func ListLayers(ctx context.Context, url string) ([]Layer, error) {
	found, err := withConnection(ctx, url, func(_ context.Context, conn *libvirt.Connect) ([]Layer, error) {
		var users map[string][]string
		var java []*layers.Layer
		all, err := layers.List(conn)
		if err == nil {
			users, err = layers.Users(conn, all)
		}
		if err == nil {
			java, err = layers.ListJava(conn)
		}
		return publicLayers(append(all, java...), users), err
	})
	if err != nil {
		err = fmt.Errorf("listing the layers at %s: %w", redact.Text(url), err)
	}
	return found, err
}

// ImportImage imports an image into a pool of a hypervisor, or finds it there if it was
// imported before, and returns its layer. from is a local file, or an HTTP or HTTPS URL
// with the SHA-256 digest of the file there, or "none"; sha256 is empty for a local file.
// An empty pool is the pool "default".
func ImportImage(ctx context.Context, url, pool, from, sha256 string) (Layer, error) {
	source, err := imageSource(from, sha256)
	if err != nil {
		return Layer{}, err
	}
	l, err := withConnection(ctx, url, func(ctx context.Context, conn *libvirt.Connect) (*layers.Layer, error) {
		host, err := layers.ReadHost(conn)
		if err != nil {
			return nil, err
		}
		hardware := layers.Hardware{Memory: defaultMemory, VCPUs: defaultVCPUs, Network: defaultNetwork, Firmware: layers.FirmwareBIOS}
		return importInto(ctx, conn, pool, source, layers.Import{Hardware: hardware, Host: host})
	})
	if err != nil {
		return Layer{}, fmt.Errorf("importing image %s at %s: %w", source, redact.Text(url), err)
	}
	return publicLayers([]*layers.Layer{l}, nil)[0], nil
}

// imageSource is the source for a file or a URL.
func imageSource(from, sha256 string) (image.Source, error) {
	if strings.Contains(from, "://") {
		return image.URLSource(from, sha256)
	}
	if sha256 != "" {
		return image.Source{}, fmt.Errorf("image %s: sha256 is for URLs: leave it out for a local file", from)
	}
	return image.FileSource(from)
}

// PruneLayers removes the layers of a hypervisor that no domain or volume refers to and
// that no set-up has used since a time. It returns what it removed, also with an error.
func PruneLayers(ctx context.Context, url string, unusedSince time.Time) ([]Layer, error) {
	return removeLayers(ctx, url, func(ctx context.Context, conn *libvirt.Connect) ([]*layers.Layer, error) {
		return layers.Prune(ctx, conn, unusedSince)
	})
}

// RemoveLayers removes the layers of a hypervisor with these keys ([Layer].Key), except
// those that a domain or volume refers to. It returns what it removed, also with an error.
func RemoveLayers(ctx context.Context, url string, keys ...string) ([]Layer, error) {
	return removeLayers(ctx, url, func(ctx context.Context, conn *libvirt.Connect) ([]*layers.Layer, error) {
		return layers.RemoveNamed(ctx, conn, keys...)
	})
}

func removeLayers(ctx context.Context, url string, remove func(context.Context, *libvirt.Connect) ([]*layers.Layer, error)) ([]Layer, error) {
	removed, err := withConnection(ctx, url, remove)
	if err != nil {
		err = fmt.Errorf("removing layers at %s: %w", redact.Text(url), err)
	}
	return publicLayers(removed, nil), err
}

func publicLayers(all []*layers.Layer, users map[string][]string) []Layer {
	found := make([]Layer, len(all))
	for n, l := range all {
		found[n] = Layer{Name: l.Name, Kind: l.Kind, Key: string(l.Key), Parent: l.Parent, Label: l.Label, Built: l.Created, Used: l.Used, Bytes: l.Bytes, UsedBy: users[l.Name]}
	}
	return found
}
