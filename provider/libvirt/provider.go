package libvirt

import (
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/fsmapping"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
)

func init() { provider.Register("libvirt", newProvider()) }

// provider makes clones; those of one hypervisor share its connection.
type cloneProvider struct{ pool *virt.Connections }

func newProvider() *cloneProvider { return &cloneProvider{pool: virt.NewConnections()} }

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
	if err := config.validate(section); err != nil {
		return nil, err
	}
	i := &instance{label: label, config: config, pool: p.pool, undo: &storage.Undo{}}
	i.folders = &fsmapping.Folders{URL: config.URL, Section: section, Entries: fsmapping.Entries(section, config.FSMapping), Gateway: i.gatewayTarget, Undo: i.undo}
	return i, nil
}
