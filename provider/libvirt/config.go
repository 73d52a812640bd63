package libvirt

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
)

// Config is the section of a host that is cloned by libvirt, beside the keys
// that every host may have.
type Config struct {
	fixture.Common

	// URL of the hypervisor, as virsh -c takes it.
	URL string `hocon:"libvirtURL"`
	// BaseDomain is the name of the domain to clone. It must be shut off.
	BaseDomain string `hocon:"libvirtBaseDomain,alias=baseDomain,required"`
	// Network is the name of the libvirt network, or of the bridge, that the
	// interface is on whose address is looked up. It may be left out where
	// the base domain has one interface.
	Network string `hocon:"networkDeviceId,alias=network"`
	// Lookup names the strategy that finds the address: lease, static, or
	// auto, which is static where static.ip is given and lease elsewhere.
	Lookup string `hocon:"ipLookupStrategy"`
	// Static is for the strategy static.
	Static StaticConfig `hocon:"static"`
	// StartTimeout bounds the time from starting the clone to its address.
	StartTimeout time.Duration `hocon:"libvirtStartTimeout"`
}

// StaticConfig is the section static of a host.
type StaticConfig struct {
	// IP is the address that the base domain's system gives itself.
	IP netip.Addr `hocon:"ip"`
}

// defaults are the values of keys that are not there.
func defaults() Config {
	return Config{
		Common:       fixture.CommonDefaults(),
		URL:          "qemu:///system",
		Lookup:       lookupAuto,
		StartTimeout: 2 * time.Minute,
	}
}

// Names of strategies in the configuration, in any case of letters.
const (
	lookupAuto   = "auto"
	lookupLease  = "lease"
	lookupStatic = "static"
)

// settle checks what decoding cannot, and replaces auto by what it means.
func (c *Config) settle(section *hocon.Value) error {
	lookup := strings.ToLower(c.Lookup)
	if lookup == lookupAuto {
		lookup = lookupLease
		if c.Static.IP.IsValid() {
			lookup = lookupStatic
		}
	}
	switch {
	case lookup != lookupLease && lookup != lookupStatic:
		return invalid(section, "ipLookupStrategy", "%q is not a strategy: use %q, %q or %q", c.Lookup, lookupAuto, lookupLease, lookupStatic)
	case lookup == lookupStatic && !c.Static.IP.IsValid():
		return invalid(section, "static.ip", "is missing: the strategy static needs the address that the base domain gives itself")
	case c.StartTimeout <= 0:
		return invalid(section, "libvirtStartTimeout", "has to be more than nothing")
	}
	c.Lookup = lookup
	if lookup == lookupStatic {
		// One address: one host for all processes.
		c.Scope = fixture.ScopeSuite
	}
	return nil
}

// invalid is the error about one key of a section.
func invalid(section *hocon.Value, key, format string, args ...any) error {
	e := &hocon.ValueError{Pos: section.Position(), Path: section.Path() + "." + key, Msg: fmt.Sprintf(format, args...)}
	if value, ok := section.Lookup(key); ok {
		e.Pos = value.Position()
	}
	return e
}
