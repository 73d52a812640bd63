package libvirt

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Keep leaves the clone where it is, for a person to look at, and tells how to
// reach it and how to remove it. It fails when there is no clone that runs;
// TearDown then takes away what is left.
func (i *instance) Keep(ctx context.Context) (string, error) {
	g := i.watched()
	if g == nil {
		return "", fmt.Errorf("there is no clone to keep")
	}
	if err := g.alive(); err != nil {
		return "", fmt.Errorf("there is no clone to keep: %w", err)
	}
	conn := i.on.conn
	err := bounded(ctx, func() error {
		return changeMetadata(conn, g.domain, func(m *metadata) {
			m.Kept = &metadataKeeping{Since: time.Now().UTC().Truncate(time.Second)}
		})
	})
	if err != nil {
		return "", fmt.Errorf("marking domain %s as kept: %w", g.domain, said(err))
	}
	i.letGo()
	i.undo.forget()
	i.disconnect()
	return i.howToReach(g.domain), nil
}

// howToReach tells a person what to type.
func (i *instance) howToReach(domain string) string {
	virsh := "virsh -c '" + shownURL(i.config.URL) + "'"
	lines := []string{"domain " + domain + " at " + shownURL(i.config.URL) + " is kept"}
	if i.address.IsValid() {
		lines = append(lines, "address: "+i.address.String())
	}
	lines = append(lines,
		"look at it: "+virsh+" console "+domain,
		"remove it:  overcast gc (as soon as this process has ended), or "+virsh+" destroy "+domain)
	return strings.Join(lines, "\n  ")
}
