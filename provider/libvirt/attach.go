package libvirt

import (
	"context"
	"fmt"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
)

var _ provider.Attacher = (*instance)(nil)

// ID is the name of the clone's domain.
func (i *instance) ID() string {
	if w := i.getWatcher(); w != nil {
		return w.Domain
	}
	return ""
}

// Attach watches a clone that another process has made. It may be paused, or
// have stopped.
func (i *instance) Attach(ctx context.Context, domain string) error {
	on, err := i.connect(ctx)
	if err != nil {
		return err
	}
	w := virt.NewDomainWatcher(on, domain, virt.DomainState{Phase: virt.PhaseUnknown})
	i.setWatcher(w)
	if err := virt.WithContext(ctx, on.Conn, func() error { return w.Query(on.Conn) }); err != nil {
		i.Detach()
		return fmt.Errorf("looking at domain %s: %w", domain, virt.StripCodes(err))
	}
	return nil
}

// Detach ends that.
func (i *instance) Detach() {
	i.stopWatching()
	i.disconnect()
}
