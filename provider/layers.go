package provider

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// LayerCacher is implemented by an instance that can create its host from a layer: the
// disks of a host that was provisioned before, in the cache of the provider.
type LayerCacher interface {
	// UseLayer is called before the instance is reserved and set up. recipe identifies
	// what provisioning does. With refresh, a layer that was built before this process
	// started is not used.
	UseLayer(recipe string, refresh bool)
	// LayerBuilder returns an instance that builds the missing layer. It is called
	// before SetUp, and waits while another process builds the layer. It returns nil if
	// the layer exists, or if the host cannot be cached.
	LayerBuilder(ctx context.Context) (LayerBuilder, error)
	// IsProvisioned reports whether SetUp creates the host from a layer, so that it is
	// not provisioned again.
	IsProvisioned() bool
	// ProvisioningTime is how long provisioning took when the layer was built, which SetUp
	// saves. It is 0 if SetUp uses no layer, or if the time is unknown.
	ProvisioningTime() time.Duration
	// MayBlameLayer reports whether an error of a host that was created from a layer may
	// be the fault of the layer, as far as the provider knows.
	MayBlameLayer(err error) bool
	// DiscardLayer removes the host and the layer that it was created from. The next
	// SetUp creates the host without a layer.
	DiscardLayer(ctx context.Context) error
}

// LayerBuilder is the instance of a host that becomes a layer.
type LayerBuilder interface {
	Instance
	// CleanCommand is a shell command, run as root after provisioning, that removes what
	// identifies the host's system.
	CleanCommand() string
	// Publish shuts the host down and makes its disks the layer. It calls progress after
	// each step. provisioning is how long the host was provisioned.
	Publish(ctx context.Context, provisioning time.Duration, progress func(step string)) error
}

// Steps of a set-up that uses no layer although the settings ask for one. Their detail is
// the reason.
const (
	StepNotCached      = "not cached:"
	StepDiscardedLayer = "discarded layer:" // it is broken, and was removed
)

// Values of OVERCAST_CACHE.
const (
	CacheOn      = ""        // as the configuration says
	CacheOff     = "off"     // layers are neither used nor built
	CacheRefresh = "refresh" // layers are built again
)

// cacheVariable is the environment variable that changes the use of layers for one run.
const cacheVariable = "OVERCAST_CACHE"

var cacheModes = []string{CacheOn, CacheOff, CacheRefresh}

// CachePolicy is how layers are used: [CacheOff], [CacheRefresh] or [CacheOn]. The default
// of provision.cache is true where provision.expirationTag has a command.
func (s Settings) CachePolicy() string {
	if s.Provision.Cache == nil && s.Provision.ExpirationTag.Cmd == "" || s.Provision.Cache != nil && !*s.Provision.Cache {
		return CacheOff
	}
	return os.Getenv(cacheVariable)
}

// RefreshesCache reports whether layers are built again, and memory is saved again.
func (s Settings) RefreshesCache() bool { return os.Getenv(cacheVariable) == CacheRefresh }

func checkCacheMode() error {
	if mode := os.Getenv(cacheVariable); !slices.Contains(cacheModes, mode) {
		return fmt.Errorf("%s is %q: must be one of %s", cacheVariable, mode, strings.Join(cacheModes[1:], ", "))
	}
	return nil
}
