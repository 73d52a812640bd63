package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/internal/image"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// imageConfig has the keys of a host that is made from an image instead of a base
// domain.
type imageConfig struct {
	// Image is the image: a local file, a URL or a volume of the hypervisor.
	Image *hocon.Value `hocon:"image"`
	// Memory of the machine.
	Memory hocon.Size `hocon:"memory"`
	// VCPUs is the number of its CPUs.
	VCPUs int `hocon:"vcpus"`
	// DiskSize is the size of its disk, if that is more than the size of the image.
	DiskSize hocon.Size `hocon:"diskSize"`
	// Firmware is "bios" or "efi".
	Firmware string `hocon:"firmware"`
	// DomainXML is a file with a definition that replaces the generated one.
	DomainXML string `hocon:"domainXML"`
	// CloudInit is what cloud-init does in the machine at its first boot.
	CloudInit cloudInitConfig `hocon:"cloudInit"`

	source image.Source // parsed from Image
}

// cloudInitConfig is the section cloudInit of a host.
type cloudInitConfig struct {
	// Enabled is false for an image without cloud-init.
	Enabled bool `hocon:"enabled"`
	// User is created for the login.
	User string `hocon:"user"`
	// AuthorizedKeys are further public keys of that user.
	AuthorizedKeys []string `hocon:"authorizedKeys"`
	// UserData is further user data, or the path of a file with it.
	UserData string `hocon:"userData,secret"`
	// NetworkConfig is a network configuration, or the path of a file with it.
	NetworkConfig string `hocon:"networkConfig"`
	// Wait is false if the set-up does not wait for cloud-init to finish.
	Wait bool `hocon:"wait"`
}

// Defaults of a host that is made from an image.
const (
	defaultMemory  = 1 << 30
	defaultVCPUs   = 1
	defaultNetwork = "default"
	defaultUser    = "overcast"
)

func imageDefaults() imageConfig {
	return imageConfig{Memory: defaultMemory, VCPUs: defaultVCPUs, Firmware: layers.FirmwareBIOS, CloudInit: cloudInitConfig{Enabled: true, User: defaultUser, Wait: true}}
}

// imageKeys are those that need the key image.
var imageKeys = []string{"memory", "vcpus", "diskSize", "firmware", "domainXML", "cloudInit"}

// validateImage checks the keys of an image and sets the defaults that depend on
// them.
func (c *config) validateImage(section *hocon.Value) error {
	_, named := section.Get("libvirtBaseDomain")
	_, aliased := section.Get("baseDomain")
	switch {
	case strings.Contains(c.BaseDomain, "://"):
		return section.Invalid("libvirtBaseDomain", "is a URL: set it to the name of a domain, and libvirtURL to the URL of the hypervisor")
	case c.Image == nil && c.BaseDomain != "":
		for _, key := range imageKeys {
			if _, found := section.Get(key); found {
				return section.Invalid(key, "needs the key image: a clone of a base domain has the hardware of its base")
			}
		}
		return nil
	case c.Image == nil && (named || aliased):
		return section.Invalid("libvirtBaseDomain", "is empty")
	case c.Image == nil:
		return section.Invalid("libvirtBaseDomain", "is missing: set it to the name of a base domain, or set image")
	case c.BaseDomain != "":
		return section.Invalid("image", "cannot be combined with libvirtBaseDomain: a host is made from an image or from a base domain")
	case c.Memory <= 0:
		return section.Invalid("memory", "must be greater than 0")
	case c.VCPUs <= 0:
		return section.Invalid("vcpus", "must be greater than 0")
	case c.DiskSize < 0:
		return section.Invalid("diskSize", "is negative")
	case c.Firmware != layers.FirmwareBIOS && c.Firmware != layers.FirmwareEFI:
		return section.Invalid("firmware", "must be one of %s, %s", layers.FirmwareBIOS, layers.FirmwareEFI)
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if c.source, err = image.Parse(c.Image, dir); err != nil {
		return err
	}
	c.BaseDomain = c.source.String()
	if c.Network == "" && c.DomainXML == "" {
		c.Network = defaultNetwork
	}
	if c.usesCloudInit() {
		c.allowFirstBoot(section)
	}
	if c.usesCloudInit() && c.ConnectionURL() == "" {
		dir, err := cloudinit.DefaultKeyDir()
		if err != nil {
			return err
		}
		c.Connection.URL = "ssh://" + url.PathEscape(c.CloudInit.User) + "@{0}?privateKeyFile=" + url.QueryEscape(cloudinit.LoginKeyPath(dir))
	}
	return nil
}

// firstBootTimeout is the default limit of the address and of the first login of a host
// that cloud-init configures. Its first boot takes longer than that of a base domain.
const firstBootTimeout = 5 * time.Minute

// allowFirstBoot raises the limits that the section does not set.
func (c *config) allowFirstBoot(section *hocon.Value) {
	if _, set := section.Get("addressTimeout"); !set {
		c.AddressTimeout = firstBootTimeout
	}
	if _, set := section.Get("provision", "startTimeout"); !set {
		c.Provision.StartTimeout = firstBootTimeout
	}
}

// usesCloudInit reports whether clones get a seed for cloud-init.
func (c *config) usesCloudInit() bool { return c.Image != nil && c.CloudInit.Enabled }

// readImageBase returns a generated definition to clone, with the image as its disk. It
// imports the image if the hypervisor does not have it.
func (i *instance) readImageBase(ctx context.Context, on *virt.Connection) (*libvirtxml.Domain, error) {
	host, err := layers.ReadHost(on.Conn)
	if err != nil {
		return nil, err
	}
	if err := i.checkImageNetwork(on.Conn, host); err != nil {
		return nil, err
	}
	if !host.KVM && i.config.DomainXML == "" {
		provider.Report(ctx, stepEmulation, "the hypervisor has no hardware virtualization: guests are slow")
	}
	if i.config.source.Kind != image.Volume {
		if i.image, err = i.importImage(ctx, on.Conn, i.hardware(), host); err != nil {
			return nil, err
		}
	}
	return i.generateBase(on.Conn, i.image, host)
}

// checkImageNetwork fails if the network of a generated definition is neither one of
// libvirt nor a bridge. A hypervisor that does not list its interfaces may have the bridge.
func (i *instance) checkImageNetwork(conn *libvirt.Connect, host layers.Host) error {
	name, _, _ := strings.Cut(i.config.Network, "/")
	if _, known := host.Bridges[name]; known || i.config.DomainXML != "" {
		return nil
	}
	bridge, err := conn.LookupInterfaceByName(i.config.Network)
	if err == nil {
		_ = bridge.Free()
	}
	if !virt.IsCode(err, libvirt.ERR_NO_INTERFACE) {
		return nil
	}
	key := "networkDeviceId"
	if _, alias := i.section.Get("network"); alias {
		key = "network"
	}
	known := slices.Sorted(maps.Keys(host.Bridges))
	return i.section.Invalid(key, "%s has neither a libvirt network nor a bridge %q%s: set %s to one of its networks: %s (virsh net-list --all)",
		redact.Text(i.config.URL), i.config.Network, editdistance.Suggest(i.config.Network, known, len(i.config.Network)/3), key, strings.Join(known, ", "))
}

// keepImage records that the image is used now, so that no other process removes it before
// the clone refers to it. If it was removed while the set-up waited, for memory for
// instance, it is imported again and the clone is planned anew.
func (i *instance) keepImage(ctx context.Context, on *virt.Connection) error {
	if i.image == nil {
		return nil
	}
	err := i.image.Touch(on.Conn)
	if errors.Is(err, layers.ErrGone) {
		return i.makePlan(ctx, on)
	}
	if err != nil {
		return fmt.Errorf("using image %s: %w", i.config.source, err)
	}
	return nil
}

// generateBase returns the definition for the layer of an image, or for a volume of the
// hypervisor if the layer is nil.
func (i *instance) generateBase(conn *libvirt.Connect, l *layers.Layer, on layers.Host) (*libvirtxml.Domain, error) {
	if l == nil {
		return layers.VolumeBase(conn, i.config.source.Pool, i.config.source.Volume, i.hardware(), on)
	}
	if err := l.CheckShutOff(i.config.URL); err != nil {
		return nil, err
	}
	return l.Base(i.hardware(), on)
}

// hardware is that of a machine with an image.
func (i *instance) hardware() layers.Hardware {
	return layers.Hardware{Memory: uint64(i.config.Memory), VCPUs: i.config.VCPUs, Network: i.config.Network, Firmware: i.config.Firmware, DomainXML: i.config.DomainXML}
}

// stepEmulation warns that a guest is emulated.
const stepEmulation = "warning: emulation:"

// importImage returns the layer of the image, which is downloaded and imported if
// the hypervisor does not have it.
func (i *instance) importImage(ctx context.Context, conn *libvirt.Connect, hardware layers.Hardware, host layers.Host) (*layers.Layer, error) {
	return importInto(ctx, conn, i.config.OverlayPool, i.config.source, layers.Import{Label: i.label, Hardware: hardware, Host: host})
}

// importInto does an import into the pool that is wanted, or into a default one if it
// is empty, and notes the use of the layer. If another process removes the layer before
// that, it is imported again.
func importInto(ctx context.Context, conn *libvirt.Connect, wanted string, source image.Source, what layers.Import) (*layers.Layer, error) {
	for {
		l, err := importOnce(ctx, conn, wanted, source, what)
		if err != nil {
			return nil, err
		}
		err = l.Touch(conn)
		if ctx.Err() == nil && errors.Is(err, layers.ErrGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		lacking := l.CheckVolumes(conn)
		if !storage.LacksVolume(lacking) {
			return l, lacking
		}
		provider.Report(ctx, provider.StepDiscardedLayer, fmt.Sprintf("the image is imported again: %v", lacking))
		if err := l.Discard(ctx, conn); err != nil {
			if left, findErr := layers.Find(conn, l.Key); findErr != nil || left != nil {
				return nil, err
			}
			provider.Report(ctx, stepNotDiscarded, err.Error()) // the file of a volume in a pool that is gone
		}
	}
}

// importOnce does an import, unless the hypervisor has the layer. An image that the
// hypervisor has is not downloaded if the configuration has its digest.
func importOnce(ctx context.Context, conn *libvirt.Connect, wanted string, source image.Source, what layers.Import) (*layers.Layer, error) {
	l, err := findKnown(conn, source)
	if err != nil || l != nil {
		return l, err
	}
	what.Source = source.String()
	if what.Image, err = getImage(ctx, source); err != nil {
		return nil, err
	}
	if what.Pool, err = storage.ImagePool(conn, wanted); err != nil {
		return nil, err
	}
	return what.Do(ctx, conn)
}

// findKnown returns the layer of an image whose digest the configuration has, or nil if the
// hypervisor does not have it.
func findKnown(conn *libvirt.Connect, source image.Source) (*layers.Layer, error) {
	if source.Kind != image.URL || source.SHA256 == "" {
		return nil, nil
	}
	return layers.Find(conn, layers.Key(source.SHA256))
}

// imageCache is the cache of the user.
func imageCache() (*image.Cache, error) {
	dir, err := image.DefaultDir()
	if err != nil {
		return nil, err
	}
	return &image.Cache{Dir: dir, Logf: func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "overcast: "+format+"\n", args...)
	}}, nil
}

// getImage returns an image as a local file, which it downloads and decompresses if
// needed. The errors name the source.
func getImage(ctx context.Context, source image.Source) (image.Image, error) {
	cache, err := imageCache()
	if err != nil {
		return image.Image{}, err
	}
	return cache.Get(ctx, source, image.NewPrinter(os.Stderr).Report)
}

// readTextOrFile returns a text of the configuration, or the content of the file
// that it names: a text of one line that is the path of a file.
func (i *instance) readTextOrFile(key, text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	if filepath.Clean(text) != text && text[0] != '.' && text[0] != '/' {
		return []byte(text), nil
	}
	content, err := os.ReadFile(text)
	if err == nil {
		return content, nil
	}
	if info, statErr := os.Stat(text); statErr == nil && info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	if isPath(text) { // which is not shown: the value may be a secret
		return nil, i.section.Invalid(key, "is neither a text for cloud-init nor the path of a file%s: correct the path", inCurrentFolder(text))
	}
	return []byte(text), nil
}

// isPath reports whether a text is a path rather than a text for cloud-init, whose texts
// are YAML or start with #.
func isPath(text string) bool { return !strings.ContainsAny(text, "#:{}\n") }

// inCurrentFolder says where a relative path begins. It is empty for an absolute path.
func inCurrentFolder(path string) string {
	dir, err := os.Getwd()
	if err != nil || filepath.IsAbs(path) {
		return ""
	}
	return " in the current folder " + dir
}

// checkImageFile checks the file of an image, so that a missing or damaged one is an error
// before it is imported. The error has the position of the key.
func (p *planning) checkImageFile(context.Context) error {
	if p.config.Image == nil || p.config.source.Kind != image.File {
		return nil
	}
	err := image.Check(p.config.source.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return p.section.Invalid("image", "file %s does not exist: download a cloud image to there, or correct the path", p.config.source.Path)
	}
	if err != nil {
		invalid := p.section.Invalid("image", "%v", err)
		invalid.Err = err
		return invalid
	}
	return nil
}

// checkImage checks the image of a host, and gives the plan the definition that a set-up
// generates for it. It reports whether there is one: an image that the hypervisor does not
// have is not imported.
func (d *diagnosis) checkImage(ctx context.Context, p *planning) bool {
	seen, l, err := d.findImage(ctx, p.on.Conn)
	if !d.report("image", seen, err) {
		return false
	}
	host, err := layers.ReadHost(p.on.Conn)
	if err == nil {
		err = d.checkImageNetwork(p.on.Conn, host)
	}
	if err != nil {
		return d.report(networkCheck, "", err)
	}
	if l == nil && d.config.source.Kind != image.Volume {
		if _, known := host.Bridges[d.config.Network]; known && d.config.DomainXML == "" {
			d.checkLibvirtNetwork(ctx, p)
		}
		d.warn("plan", "devices, memory and look-up are not checked before the image is imported: the first set-up does that, or overcast image import")
		return false
	}
	p.base, err = d.generateBase(p.on.Conn, l, host)
	return err == nil || d.report("base domain", "", err)
}

// checkLibvirtNetwork checks the libvirt network of an image that is not imported.
func (d *diagnosis) checkLibvirtNetwork(ctx context.Context, p *planning) {
	if err := p.checkActive(d.config.Network); err != nil {
		d.report(networkCheck, "", err)
		return
	}
	d.checkNetworkNamed(ctx, p.on.Conn, d.config.Network)
}

// findImage returns the layer of the image, or nil if the image is a volume or the
// hypervisor does not have it.
func (d *diagnosis) findImage(ctx context.Context, conn *libvirt.Connect) (seen string, _ *layers.Layer, err error) {
	from := d.config.source
	if from.Kind == image.Volume {
		_, err := layers.VolumeFormat(conn, from.Pool, from.Volume)
		return from.String(), nil, err
	}
	all, err := layers.List(conn)
	if err != nil {
		return "", nil, err
	}
	for _, l := range all {
		if l.Kind == layers.KindImage && l.Parent == from.String() {
			return fmt.Sprintf("%s, imported as %s", from, l.Name), l, nil
		}
	}
	cache, err := imageCache()
	if err == nil {
		err = cache.Probe(ctx, from)
	}
	if err != nil {
		return "", nil, err
	}
	pool, err := storage.ImagePool(conn, d.config.OverlayPool)
	return fmt.Sprintf("%s, which the first set-up imports into pool %s", from, pool), nil, err
}
