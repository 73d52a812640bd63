package libvirt

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/mount"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/fsmapping"
	"github.com/overcast-go/overcast/strategy"
)

// config is the section of a host that is cloned by libvirt, beside the keys
// that every host may have.
type config struct {
	provider.Settings

	// URL of the hypervisor, as virsh -c takes it.
	URL string `hocon:"libvirtURL"`
	// BaseDomain is the name of the domain to clone. It must be shut off.
	BaseDomain string `hocon:"libvirtBaseDomain,alias=baseDomain,required"`
	// Network is the name of the libvirt network, or of the bridge, that the
	// interface is on whose address is looked up. It may be left out where
	// the base domain has one interface.
	Network string `hocon:"networkDeviceId,alias=network"`
	// Lookup names the strategy that finds the address: static, SSH, lease,
	// agent, arp, or auto, which is static where static.ip is given, and else
	// a race of those that can work.
	Lookup string `hocon:"ipLookupStrategy"`
	// SSH is for the strategy SSH.
	SSH sshConfig `hocon:"SSH,secret"`
	// Static is for the strategy static.
	Static staticConfig `hocon:"static"`
	// FSMapping names folders of the hypervisor's machine that the guest gets,
	// by the tags under which it mounts them.
	FSMapping map[string]mount.Mapping `hocon:"fsMapping"`
	// Overlay is "anonymous" for overlays whose files are deleted as soon as
	// QEMU has opened them, so that whatever way the clone ends the space is
	// free, or "file" for ones that stay until the clone is torn down, which
	// virsh save and snapshots need.
	Overlay string `hocon:"overlay"`
	// OverlayPool is the pool of files that overlays go to. By default each
	// goes to the pool of its base disk, or, where that is in no pool of files,
	// to the pool "default" or the one with the most room.
	OverlayPool string `hocon:"overlayPool"`
	// Cache is the cache mode of the clone's disks, as libvirt has it. By
	// default it is unsafe: nobody needs what is written to be safe.
	Cache string `hocon:"cache"`
	// ShutdownTimeout is how long the guest's system may take to shut itself
	// down when the clone is torn down, before it is destroyed. By default it
	// is not asked.
	ShutdownTimeout time.Duration `hocon:"shutdownTimeout"`
	// OwnerLease is how long the clone is believed to be in use, by processes
	// that cannot see the one that made it, after that was last heard of. It
	// is renewed while that process lives.
	OwnerLease time.Duration `hocon:"ownerLease"`
	// MemoryWait bounds the wait until the clone fits into the free memory of
	// the hypervisor.
	MemoryWait time.Duration `hocon:"memoryWait"`
	// StartTimeout bounds the start of the clone, until it runs.
	StartTimeout time.Duration `hocon:"libvirtStartTimeout"`
	// AddressTimeout bounds the time from there to its address. The strategy
	// SSH has a timeout of its own beside it.
	AddressTimeout time.Duration `hocon:"addressTimeout"`
}

// sshConfig is the section SSH of a host.
type sshConfig struct {
	// URL is how to log in where the addresses are known.
	URL string `hocon:"url,secret"`
	// Command prints the address of the MAC address that stands for {0} in it.
	Command string `hocon:"command"`
	// Timeout bounds the look-up.
	Timeout time.Duration `hocon:"timeout"`
}

// staticConfig is the section static of a host.
type staticConfig struct {
	// IP is the address that the base domain's system gives itself.
	IP netip.Addr `hocon:"ip"`
	// Wait bounds the wait for somebody else who has the address.
	Wait time.Duration `hocon:"wait"`
}

// defaults are the values of keys that are not there.
func defaults() config {
	return config{
		Settings:       provider.DefaultSettings(),
		URL:            "qemu:///system",
		Lookup:         lookupAuto,
		SSH:            sshConfig{Timeout: time.Minute},
		Static:         staticConfig{Wait: 5 * time.Minute},
		MemoryWait:     5 * time.Minute,
		StartTimeout:   30 * time.Second,
		AddressTimeout: 2 * time.Minute,
		Overlay:        overlayUnlinked,
		Cache:          "unsafe",
		OwnerLease:     15 * time.Minute,
	}
}

// Values of overlay.
const (
	overlayUnlinked = "anonymous"
	overlayFile     = "file"
)

// cacheModes are libvirt's.
var cacheModes = []string{"unsafe", "writeback", "writethrough", "none", "directsync", "default"}

// Names of strategies in the configuration, in any case of letters.
const (
	lookupAuto   = "auto"
	lookupLease  = "lease"
	lookupAgent  = "agent"
	lookupARP    = "arp"
	lookupSSH    = "ssh"
	lookupStatic = "static"
)

// validate checks what decoding cannot, and replaces auto by what it means.
func (c *config) validate(section *hocon.Value) error {
	switch {
	case c.BaseDomain == "":
		return section.Invalid("libvirtBaseDomain", "is empty")
	case c.URL == "":
		return section.Invalid("libvirtURL", "is empty")
	case c.MemoryWait < 0:
		return section.Invalid("memoryWait", "is negative")
	case c.StartTimeout <= 0:
		return section.Invalid("libvirtStartTimeout", "has to be more than nothing")
	case c.AddressTimeout <= 0:
		return section.Invalid("addressTimeout", "has to be more than nothing")
	case c.ShutdownTimeout < 0:
		return section.Invalid("shutdownTimeout", "is negative")
	case c.OwnerLease < time.Second:
		return section.Invalid("ownerLease", "has to be a second at least")
	case !slices.Contains(cacheModes, c.Cache):
		return section.Invalid("cache", "it is none of %s", strings.Join(cacheModes, ", "))
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
		return c.SSH.check(section) // it takes part in the race
	}
	switch c.Lookup {
	case lookupAuto, lookupLease, lookupAgent, lookupARP:
		return nil
	case lookupSSH:
		return c.SSH.check(section)
	case lookupStatic:
		if !c.Static.IP.IsValid() {
			return section.Invalid("static.ip", "is missing: the strategy static needs the address that the base domain gives itself")
		}
		if c.Static.Wait < 0 {
			return section.Invalid("static.wait", "is negative")
		}
		c.Scope = provider.ScopeSuite // one address: one host for all processes
		return nil
	}
	return section.Invalid("ipLookupStrategy", `it is none of the strategies "auto", "lease", "SSH", "static", "agent" and "arp"`)
}

// asksSSH reports whether the address is looked up by SSH.command.
func (c *config) asksSSH() bool {
	return c.Lookup == lookupSSH || (c.Lookup == lookupAuto && c.SSH.Command != "")
}

func (c *sshConfig) check(section *hocon.Value) error {
	switch {
	case c.URL == "":
		return section.Invalid("SSH.url", "is missing: the strategy SSH needs to know where to ask, as in ssh://user@dhcp-box")
	case c.Command == "":
		return section.Invalid("SSH.command", "is missing: the strategy SSH needs a command that prints the address of MAC address {0}")
	case !strings.Contains(c.Command, strategy.MACPlaceholder):
		return section.Invalid("SSH.command", "has no %s, which stands for the MAC address to look up", strategy.MACPlaceholder)
	case c.Timeout <= 0:
		return section.Invalid("SSH.timeout", "has to be more than nothing")
	}
	if _, err := ssh.ParseURL(c.URL); err != nil {
		return section.Invalid("SSH.url", "%v", err)
	}
	return nil
}
