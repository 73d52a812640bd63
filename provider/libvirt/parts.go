package libvirt

import "github.com/overcast-go/overcast/provider"

var _ provider.Cloned = (*instance)(nil)

// BaseDomain is the name of the domain that was cloned.
func (i *instance) BaseDomain() string { return i.config.BaseDomain }
