package libvirt

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Keep leaves the clone where it is, for a person to look at, and tells how to
// reach it and how to remove it. It answers with "" when there is no clone that
// runs: TearDown then takes away what is left.
func (i *instance) Keep(ctx context.Context) (string, error) {
	g := i.watched()
	if g == nil || !g.runs() {
		return "", nil
	}
	i.lease.stop() // or else it might renew what it read before this
	conn := i.on.conn
	err := bounded(ctx, conn, func() error {
		return changeMetadata(conn, g.domain, func(m *metadata) {
			m.Kept = &metadataKeeping{Since: time.Now().UTC().Truncate(time.Second)}
		})
	})
	if err != nil {
		return "", fmt.Errorf("marking domain %s as kept: %w", g.domain, said(err))
	}
	i.letGo()
	err = i.undo.forget(ctx)
	i.disconnect()
	return i.howToReach(g.domain), err
}

// howToReach tells a person what to type.
func (i *instance) howToReach(domain string) string {
	virsh := "virsh -c '" + shownURL(i.config.URL) + "'"
	lines := []string{"domain " + domain + " at " + shownURL(i.config.URL) + " is kept"}
	if i.address.IsValid() {
		lines = append(lines, "address: "+i.address.String())
	}
	remove := "overcast gc, as soon as this process has ended"
	if i.config.Overlay == overlayAnonymous {
		remove += "; or " + virsh + " destroy " + domain // it has no files that would stay
	}
	lines = append(lines, "look at it: "+virsh+" console "+domain, "remove it:  "+remove)
	return strings.Join(lines, "\n  ")
}
