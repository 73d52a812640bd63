package libvirt

import (
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/fsmapping"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
)

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
	i := &instance{label: label, config: config, pool: p.pool, undo: &storage.Undo{}}
	i.folders = &fsmapping.Folders{URL: config.URL, Section: section, Entries: fsmapping.Entries(section, config.FSMapping), Gateway: i.gatewayTarget, Undo: i.undo}
	return i, nil
}
