package libvirt

import (
	"context"
	"fmt"

	"github.com/overcast-go/overcast/provider"
)

var _ provider.Attacher = (*instance)(nil)

// ID is the name of the clone's domain.
func (i *instance) ID() string {
	if w := i.getWatcher(); w != nil {
		return w.domain
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
	w := newDomainWatcher(on, domain, domainState{phase: phaseUnknown})
	i.setWatcher(w)
	if err := bounded(ctx, on.conn, func() error { return w.query(on.conn) }); err != nil {
		i.Detach()
		return fmt.Errorf("looking at domain %s: %w", domain, said(err))
	}
	return nil
}

// Detach ends that.
func (i *instance) Detach() {
	i.stopWatching()
	i.disconnect()
}
