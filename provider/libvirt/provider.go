package libvirt

import (
	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
)

func init() { fixture.Register("libvirt", newProvider()) }

// provider makes clones; those of one hypervisor share its connection.
type provider struct{ pool *connections }

func newProvider() *provider { return &provider{pool: newConnections()} }

var _ fixture.Provider = (*provider)(nil)

// Keys are those by which a section is known to be libvirt's.
func (p *provider) Keys() []string {
	return []string{"libvirtBaseDomain", "baseDomain", "libvirtURL"}
}

// Instance checks a host's section; it asks no hypervisor.
func (p *provider) Instance(label string, section *hocon.Value) (fixture.Instance, error) {
	config := defaults()
	if err := section.Decode(&config); err != nil {
		return nil, err
	}
	if err := config.settle(section); err != nil {
		return nil, err
	}
	return &instance{label: label, config: config, section: section, pool: p.pool, undo: &undo{}}, nil
}
