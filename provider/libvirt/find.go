package libvirt

import (
	"context"
	"fmt"
	"slices"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/gc"
	"libvirt.org/go/libvirt"
)

var _ provider.Finder = (*instance)(nil)

// Find returns the clones of this label that run, the newest first.
func (i *instance) Find(ctx context.Context) ([]provider.Found, error) {
	var all []gc.Resource
	err := withConnection(ctx, i.config.URL, func(conn *libvirt.Connect) (err error) {
		all, err = gc.List(ctx, conn, gc.Options{Kept: true})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for clones at %s: %w", redact.Text(i.config.URL), err)
	}
	var found []provider.Found
	for _, r := range all {
		if r.Kind != "domain" || r.Label != i.label || r.State != provider.StateRunning {
			continue
		}
		f := provider.Found{ID: r.Name, Address: r.Address, Created: r.Created, Owner: r.Owner}
		if f.Address == "" && i.config.Static.IP.IsValid() {
			f.Address = i.config.Static.IP.String()
		}
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b provider.Found) int { return b.Created.Compare(a.Created) })
	return found, nil
}
