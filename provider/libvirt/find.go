package libvirt

import (
	"context"
	"slices"

	"github.com/overcast-go/overcast/provider"
)

var _ provider.Finder = (*instance)(nil)

// Find returns the clones of this label that run, the newest first.
func (i *instance) Find(ctx context.Context) ([]provider.Found, error) {
	all, err := List(ctx, i.config.URL)
	if err != nil {
		return nil, err
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
