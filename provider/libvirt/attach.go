package libvirt

import (
	"context"
	"fmt"

	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
)

var _ provider.Attacher = (*instance)(nil)

// ID is the name of the clone's domain.
func (i *instance) ID() string {
	if g := i.watched(); g != nil {
		return g.domain
	}
	return ""
}

// Attach watches a clone that another process has made.
func (i *instance) Attach(ctx context.Context, domain string) error {
	on, err := i.connect(ctx)
	if err != nil {
		return err
	}
	g := newGuard(on, domain)
	i.watchOver(g)
	if err := bounded(ctx, on.conn, func() error { return g.look(on.conn) }); err != nil {
		i.Detach()
		return fmt.Errorf("looking at domain %s: %w", domain, said(err))
	}
	return nil
}

// Detach ends that.
func (i *instance) Detach() {
	i.letGo()
	i.disconnect()
}

// look finds out whether the domain runs, for a guard that has come after it: of
// what happens from now on, events tell.
func (g *guard) look(conn *libvirt.Connect) error {
	state, err := stateOf(conn, g.domain)
	switch {
	case isCode(err, libvirt.ERR_NO_DOMAIN):
		g.stop("shut off")
	case err != nil:
		return err
	case state == libvirt.DOMAIN_RUNNING || state == libvirt.DOMAIN_BLOCKED:
		g.started.Do(func() { close(g.running) })
	default:
		g.stop(stateName(state))
	}
	return nil
}
