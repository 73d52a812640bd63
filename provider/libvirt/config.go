package libvirt

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/mount"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/fsmapping"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
)

// config is the section of a libvirt host, with the keys that every host may have.
type config struct {
	provider.Settings

	// URL of the hypervisor, as virsh -c takes it.
	URL string `hocon:"libvirtURL"`
	// BaseDomain is the name of the domain to clone. It must be shut off. An
	// image may take its place.
	BaseDomain string `hocon:"libvirtBaseDomain,alias=baseDomain"`
	imageConfig
	// Network is the name of the libvirt network or bridge of the interface whose
	// address is looked up. It is optional if the base domain has one interface.
	Network string `hocon:"networkDeviceId,alias=network"`
	// Lookup is the strategy that finds the address: static, SSH, lease, agent, arp,
	// or auto. auto is static if static.ip is set, and otherwise tries all that can
	// work at the same time.
	Lookup string `hocon:"ipLookupStrategy"`
	// SSH is for the strategy SSH.
	SSH sshConfig `hocon:"SSH,secret"`
	// Static is for the strategy static.
	Static staticConfig `hocon:"static"`
	// FSMapping has the folders of the hypervisor's machine that the guest gets, by
	// the tags under which it mounts them.
	FSMapping map[string]mount.Mapping `hocon:"fsMapping"`
	// Overlay is "anonymous" for overlays whose files are unlinked as soon as QEMU has
	// opened them, so that their space is freed however the clone ends; or "file" for
	// files that exist until the clone is torn down, which virsh save and snapshots
	// need.
	Overlay string `hocon:"overlay"`
	// OverlayPool is the pool of files for overlays. By default it is the pool of the
	// base's disk, or, if that is in no pool of files, the pool "default" or the one
	// with the most free space.
	OverlayPool string `hocon:"overlayPool"`
	// Cache is libvirt's cache mode of the clone's disks. The default is unsafe: a
	// clone's data need not survive a crash.
	Cache string `hocon:"cache"`
	// CacheMaxAge is how long after its last use a layer is evicted. 0 is no limit.
	CacheMaxAge time.Duration `hocon:"cacheMaxAge"`
	// CacheMaxSize is the size of all layers of the hypervisor together from which on
	// the least recently used are evicted. 0 is no limit.
	CacheMaxSize hocon.Size `hocon:"cacheMaxSize"`
	// ShutdownTimeout limits the shutdown of the guest's system at teardown, before
	// the clone is destroyed. By default the system is not shut down.
	ShutdownTimeout time.Duration `hocon:"shutdownTimeout"`
	// OwnerLease is how long processes that cannot see the owner of the clone treat it
	// as in use after the owner last renewed it.
	OwnerLease time.Duration `hocon:"ownerLease"`
	// MemoryWait limits the wait until the clone fits into the free memory of the
	// hypervisor.
	MemoryWait time.Duration `hocon:"memoryWait"`
	// StartTimeout limits the start of the clone, until it runs.
	StartTimeout time.Duration `hocon:"libvirtStartTimeout"`
	// AddressTimeout limits the look-up of its address. The strategy SSH has its own
	// timeout.
	AddressTimeout time.Duration `hocon:"addressTimeout"`
}

// sshConfig is the section SSH of a host.
type sshConfig struct {
	// URL is the connection URL of the machine that knows the addresses.
	URL string `hocon:"url,secret"`
	// Command prints the address that belongs to a MAC address, which replaces {0}.
	Command string `hocon:"command"`
	// Timeout limits the look-up.
	Timeout time.Duration `hocon:"timeout"`
}

// staticConfig is the section static of a host.
type staticConfig struct {
	// IP is the address that the base domain's system configures.
	IP netip.Addr `hocon:"ip"`
	// Wait limits the wait while another clone holds the address.
	Wait time.Duration `hocon:"wait"`
}

// defaults returns the values of keys that are not set.
func defaults() config {
	return config{
		Settings:       provider.DefaultSettings(),
		URL:            "qemu:///system",
		Lookup:         lookupAuto,
		imageConfig:    imageDefaults(),
		SSH:            sshConfig{Timeout: time.Minute},
		Static:         staticConfig{Wait: 5 * time.Minute},
		MemoryWait:     5 * time.Minute,
		StartTimeout:   30 * time.Second,
		AddressTimeout: 2 * time.Minute,
		Overlay:        overlayUnlinked,
		Cache:          "unsafe",
		CacheMaxAge:    layers.DefaultMaxAge,
		CacheMaxSize:   20 << 30,
		OwnerLease:     15 * time.Minute,
	}
}

// Values of overlay.
const (
	overlayUnlinked = "anonymous" // the spelling of the key's value is part of the contract
	overlayFile     = "file"
)

// cacheModes are libvirt's cache modes.
var cacheModes = []string{"unsafe", "writeback", "writethrough", "none", "directsync", "default"}

// Names of strategies in the configuration. Case does not matter.
const (
	lookupAuto   = "auto"
	lookupLease  = "lease"
	lookupAgent  = "agent"
	lookupARP    = "arp"
	lookupSSH    = "ssh"
	lookupStatic = "static"
)

// validate checks what decoding cannot, and resolves the strategy auto.
func (c *config) validate(section *hocon.Value) error {
	switch {
	case c.URL == "":
		return section.Invalid("libvirtURL", "is empty")
	case virt.CheckPassword(c.URL) != nil:
		return section.Invalid("libvirtURL", "%v: %s", virt.ErrPassword, virt.PasswordHint)
	case c.MemoryWait < 0:
		return section.Invalid("memoryWait", "is negative")
	case c.StartTimeout <= 0:
		return section.Invalid("libvirtStartTimeout", "must be greater than 0")
	case c.AddressTimeout <= 0:
		return section.Invalid("addressTimeout", "must be greater than 0")
	case c.CacheMaxAge < 0:
		return section.Invalid("cacheMaxAge", "is negative")
	case c.ShutdownTimeout < 0:
		return section.Invalid("shutdownTimeout", "is negative")
	case c.OwnerLease < time.Second:
		return section.Invalid("ownerLease", "must be at least 1 second")
	case !slices.Contains(cacheModes, c.Cache):
		return section.Invalid("cache", "must be one of %s", strings.Join(cacheModes, ", "))
	}
	if err := c.validateImage(section); err != nil {
		return err
	}
	if err := fsmapping.CheckEntries(section, fsmapping.Entries(section, c.FSMapping), c.ConnectionURL() != ""); err != nil {
		return err
	}
	if c.Overlay != overlayUnlinked && c.Overlay != overlayFile {
		return section.Invalid("overlay", "it is neither %q nor %q", overlayUnlinked, overlayFile)
	}
	switch c.Lookup = strings.ToLower(c.Lookup); {
	case c.Lookup != lookupAuto:
	case c.Static.IP.IsValid():
		c.Lookup = lookupStatic
	case c.SSH.Command != "":
		return c.SSH.check(section) // auto includes it
	}
	switch c.Lookup {
	case lookupAuto, lookupLease, lookupAgent, lookupARP:
		return nil
	case lookupSSH:
		return c.SSH.check(section)
	case lookupStatic:
		if !c.Static.IP.IsValid() {
			return section.Invalid("static.ip", "is missing: the strategy static needs the address that the base domain configures")
		}
		if c.Static.Wait < 0 {
			return section.Invalid("static.wait", "is negative")
		}
		c.Scope = provider.ScopeSuite // one address: one host for all processes
		return nil
	}
	near := editdistance.Nearest(c.Lookup, []string{lookupAuto, lookupLease, "SSH", lookupStatic, lookupAgent, lookupARP}, 2)
	if near != "" {
		near = fmt.Sprintf(": did you mean %q?", near)
	}
	return section.Invalid("ipLookupStrategy", "must be one of auto, lease, agent, arp, SSH, static%s", near)
}

// asksSSH reports whether the address is looked up by SSH.command.
func (c *config) asksSSH() bool {
	return c.Lookup == lookupSSH || (c.Lookup == lookupAuto && c.SSH.Command != "")
}

func (c *sshConfig) check(section *hocon.Value) error {
	switch {
	case c.URL == "":
		return section.Invalid("SSH.url", "is missing: the strategy SSH needs the machine that knows the addresses, such as ssh://user@dhcp-box")
	case c.Command == "":
		return section.Invalid("SSH.command", "is missing: the strategy SSH needs a command that prints the address of MAC address {0}")
	case !strings.Contains(c.Command, strategy.MACPlaceholder):
		return section.Invalid("SSH.command", "has no %s, which stands for the MAC address to look up", strategy.MACPlaceholder)
	case c.Timeout <= 0:
		return section.Invalid("SSH.timeout", "must be greater than 0")
	}
	if _, err := sshurl.ParseURL(c.URL); err != nil {
		return section.Invalid("SSH.url", "%v", err)
	}
	return nil
}

func init() { provider.Register("libvirt", newProvider()) }

// cloneProvider creates clones. The clones of a hypervisor share a connection.
type cloneProvider struct{ pool *virt.Connections }

func newProvider() *cloneProvider { return &cloneProvider{pool: virt.NewConnections()} }

// Section is the struct of a section.
func (*cloneProvider) Section() any { return new(config) }

var _ provider.Provider = (*cloneProvider)(nil)

// Keys returns the keys that identify a section of this provider.
func (p *cloneProvider) Keys() []string {
	return []string{"libvirtBaseDomain", "baseDomain", "image", "libvirtURL"}
}

// Instance checks the section of a host. It does not connect to the hypervisor.
func (p *cloneProvider) Instance(label string, section *hocon.Value) (provider.Instance, error) {
	config := defaults()
	if err := section.Decode(&config); err != nil {
		return nil, err
	}
	if err := config.validate(section); err != nil {
		return nil, err
	}
	return newInstance(label, config, section, p.pool), nil
}

func newInstance(label string, config config, section *hocon.Value, pool *virt.Connections) *instance {
	i := &instance{label: label, config: config, section: section, pool: pool, undo: &storage.Undo{}}
	i.folders = &fsmapping.Folders{URL: config.URL, Section: section, Entries: fsmapping.Entries(section, config.FSMapping), Gateway: i.gatewayTarget, Undo: i.undo}
	return i
}
