package libvirt

import (
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
)

func init() { provider.Register("libvirt", newProvider()) }

// provider makes clones; those of one hypervisor share its connection.
type cloneProvider struct{ pool *connections }

func newProvider() *cloneProvider { return &cloneProvider{pool: newConnections()} }

var _ provider.Provider = (*cloneProvider)(nil)

// Keys are those by which a section is known to be libvirt's.
func (p *cloneProvider) Keys() []string {
	return []string{"libvirtBaseDomain", "baseDomain", "libvirtURL"}
}

// Instance checks a host's section; it asks no hypervisor.
func (p *cloneProvider) Instance(label string, section *hocon.Value) (provider.Instance, error) {
	config := defaults()
	if err := section.Decode(&config); err != nil {
		return nil, err
	}
	if err := config.settle(section); err != nil {
		return nil, err
	}
	i := &instance{label: label, config: config, pool: p.pool, undo: &undo{}}
	i.folders = &folders{url: config.URL, section: section, entries: mappingEntries(section, config.FSMapping), gateway: i.gatewayTarget, undo: i.undo}
	return i, nil
}
