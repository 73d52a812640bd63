package provider

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/internal/mark"
)

// Provider makes the hosts of one kind. Its methods may be called at the same
// time by several goroutines.
type Provider interface {
	// Keys are the keys that identify a section as one of this provider's.
	// One of them is enough.
	Keys() []string
	// Instance checks the section of a host and prepares an instance. It
	// creates nothing and connects to nothing. It fails for an invalid section
	// with an error that carries the position: see [hocon.Value.Invalid].
	Instance(label string, section *hocon.Value) (Instance, error)
}

// Instance is one host. The methods of this interface are never called at the
// same time as each other.
type Instance interface {
	// Common is the settings that all hosts have. An instance that embeds
	// Settings has this method.
	Common() Settings
	// SetUp creates the host and finds its address. If it fails, TearDown
	// removes what it has created so far.
	SetUp(ctx context.Context) error
	// Address is the IP address or the name of the host, once SetUp has
	// succeeded.
	Address() string
	// TearDown removes what SetUp has created. It succeeds if there is nothing
	// to remove. After a failure it is called again.
	TearDown(ctx context.Context) error
}

// registry has the providers of this process.
var registry = struct {
	mu     sync.Mutex
	byName map[string]Provider
}{byName: map[string]Provider{existingName: existing{}}}

// Register adds a provider under a name. Call it from an init function. It
// panics if the name is taken or if p is nil.
func Register(name string, p Provider) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if p == nil {
		panic("provider: Register: provider " + name + " is nil")
	}
	if _, taken := registry.byName[name]; taken {
		panic("provider: Register: provider " + name + " is registered twice")
	}
	registry.byName[name] = p
}

// New prepares the instance of a host with the provider that [Of] finds, and
// checks the settings that all hosts have. It creates nothing. The error is an
// [ErrInvalidConfiguration] and a [hocon.Error].
func New(label string, section *hocon.Value) (Instance, error) {
	_, p, err := Of(section)
	if err != nil {
		return nil, err
	}
	made, err := p.Instance(label, section)
	if err == nil {
		err = made.Common().check(section)
	}
	if err != nil {
		return nil, mark.As(err, ErrInvalidConfiguration)
	}
	return made, nil
}

// Of is the provider whose keys a section has, and the name under which it is
// registered. An existing machine (key hostname) takes precedence over all others,
// and these are tried in the order of their names. The error is an
// [ErrInvalidConfiguration].
func Of(section *hocon.Value) (name string, p Provider, err error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	names := []string{existingName}
	for _, name := range slices.Sorted(maps.Keys(registry.byName)) {
		if name != existingName {
			names = append(names, name)
		}
	}
	var all []string
	for _, name := range names {
		p := registry.byName[name]
		if hasKeyOf(section, p) {
			return name, p, nil
		}
		all = append(all, p.Keys()...)
	}
	return "", nil, mark.As(&hocon.ValueError{Pos: section.Position(), Path: section.Path(), Msg: fmt.Sprintf(
		"no provider is known for this host: it has %s, and none of %s%s", listKeys(section.Keys()), strings.Join(all, ", "), hint(section, all))}, ErrInvalidConfiguration)
}

// hasKeyOf reports whether a section has a key of a provider.
func hasKeyOf(section *hocon.Value, p Provider) bool {
	return slices.ContainsFunc(p.Keys(), func(key string) bool {
		value, ok := section.Get(key)
		return ok && value.Kind() != hocon.Null
	})
}

func listKeys(keys []string) string {
	if len(keys) == 0 {
		return "no keys"
	}
	return strings.Join(keys, ", ")
}

// hint is about the most likely mistakes: a misspelt key, or the import of the provider
// is missing.
func hint(section *hocon.Value, known []string) string {
	for _, key := range section.Keys() {
		if near := editdistance.Nearest(key, known, len(key)/4); near != "" {
			return fmt.Sprintf("; did you mean %s?", near)
		}
	}
	if _, registered := registry.byName["libvirt"]; registered {
		return ""
	}
	for _, key := range []string{"libvirtBaseDomain", "baseDomain", "libvirtURL"} {
		if slices.Contains(section.Keys(), key) {
			return `; these are keys of libvirt hosts: import _ "github.com/overcast-go/overcast/provider/libvirt"`
		}
	}
	return ""
}
