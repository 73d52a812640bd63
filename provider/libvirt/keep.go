package libvirt

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Keep leaves the clone as it is, also if it is paused, and returns how to reach
// and to remove it. It returns "" when there is no clone or it has stopped:
// TearDown then removes what is left.
func (i *instance) Keep(ctx context.Context) (string, error) {
	w := i.getWatcher()
	if w == nil || !w.exists() {
		return "", nil
	}
	i.lease.stop() // or else it might renew what it read before this
	conn := i.on.conn
	err := bounded(ctx, conn, func() error {
		return changeMetadata(conn, w.domain, func(m *metadata) {
			m.Kept = &metadataKeeping{Since: time.Now().UTC().Truncate(time.Second)}
		})
	})
	if err != nil {
		return "", fmt.Errorf("marking domain %s as kept: %w", w.domain, said(err))
	}
	i.stopWatching()
	err = i.undo.forget(ctx)
	i.disconnect()
	return i.howToReach(w.domain), err
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
