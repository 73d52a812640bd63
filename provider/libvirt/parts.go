package libvirt

import "github.com/overcast-go/overcast/fixture"

var _ fixture.Cloned = (*instance)(nil)

// Base is the name of the domain that was cloned.
func (i *instance) Base() string { return i.config.BaseDomain }
