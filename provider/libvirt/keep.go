package libvirt

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
)

// Keep leaves the clone as it is, also if it is paused, and returns how to reach and remove
// it. It returns "" if there is no clone or it has stopped: TearDown then removes the rest.
func (i *instance) Keep(ctx context.Context) (string, error) {
	w := i.getWatcher()
	if w == nil || !w.Exists() {
		return "", nil
	}
	i.lease.Stop()
	err := i.changeMetadata(ctx, w.Domain, func(m *owner.Metadata) {
		m.Kept = &owner.MetadataKept{Since: time.Now().UTC().Truncate(time.Second)}
	})
	if err != nil {
		return "", fmt.Errorf("marking domain %s as kept: %w", w.Domain, virt.StripCodes(err))
	}
	i.stopWatching()
	err = i.undo.Forget(ctx)
	i.disconnect()
	return i.keptHint(w.Domain), err
}

// changeMetadata changes the metadata of the clone, after changes that are under way.
func (i *instance) changeMetadata(ctx context.Context, domain string, change func(*owner.Metadata)) error {
	if i.lease != nil {
		return i.lease.Change(ctx, change)
	}
	conn := i.on.Conn
	return virt.WithContext(ctx, conn, func() error { return owner.ChangeMetadata(conn, domain, change) })
}

// keptHint returns the commands that reach and remove a kept clone.
func (i *instance) keptHint(domain string) string {
	virsh := "virsh -c '" + redact.Text(i.config.URL) + "'"
	lines := []string{"domain " + domain + " at " + redact.Text(i.config.URL) + " is kept"}
	if i.address.IsValid() {
		lines = append(lines, "address: "+i.address.String())
	}
	remove := "overcast gc, as soon as this process has ended"
	if i.config.Overlay == overlayUnlinked {
		remove += "; or " + virsh + " destroy " + domain // it has no files that would stay
	}
	lines = append(lines, "look at it: "+virsh+" console "+domain, "remove it:  "+remove)
	return strings.Join(lines, "\n  ")
}
