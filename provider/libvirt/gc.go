package libvirt

import (
	"context"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt/internal/gc"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// Resource is something that overcast created on a hypervisor: the domain of a clone,
// a volume of one, or a temporary pool over a folder.
type Resource struct {
	Kind       string    `json:"kind"` // domain, volume or pool
	Name       string    `json:"name"`
	Pool       string    `json:"pool,omitempty"`       // of a volume
	Label      string    `json:"label,omitempty"`      // of the host
	Parent     string    `json:"parent,omitempty"`     // base domain of a domain
	State      string    `json:"state,omitempty"`      // of a domain, as virsh shows it
	Address    string    `json:"address,omitempty"`    // of a domain, as far as its owner has published it
	Created    time.Time `json:"created,omitzero"`     // zero if it is not known
	Owner      string    `json:"owner"`                // process that created it
	OwnerState string    `json:"ownerState"`           // alive, gone, or unknown from this machine
	Kept       bool      `json:"kept,omitempty"`       // left for inspection
	SkipReason string    `json:"skipReason,omitempty"` // why GC does not remove it; "" if it does
}

// String names the resource and its owner.
func (r Resource) String() string { return gc.Resource(r).String() }

// List lists what overcast created on a hypervisor, domains first. Domains of Overcast
// for Java are listed, too. With an error, the result is what could be listed.
func List(ctx context.Context, url string) ([]Resource, error) {
	var found []gc.Resource
	err := withConnection(ctx, url, func(conn *libvirt.Connect) (err error) {
		found, err = gc.List(ctx, conn, gc.Options{Kept: true})
		return err
	})
	if err != nil {
		err = fmt.Errorf("listing what overcast created at %s: %w", redact.Text(url), err)
	}
	return resources(found), err
}

// GCOptions are the options of [GC].
type GCOptions struct {
	// Label removes only what belongs to hosts of this label; "" is all.
	Label string
	// DryRun removes nothing.
	DryRun bool
	// Kept also removes clones that were left for inspection, if their process
	// has ended.
	Kept bool
}

// GC removes what overcast created on a hypervisor and whose owner has ended, by its
// metadata or name. A process on another machine or in another container cannot be seen:
// its domains are removed when GC has seen their leases unchanged for ownerLease, its
// volumes when they have not changed for a day, and its temporary pools after an hour. A
// volume that a domain, another volume or a QEMU process uses stays, and so does, for a
// day after its last change, a volume without a domain that a domain of another hypervisor
// may use.
//
// It returns what it removed, or would remove with DryRun, also with an error: what
// cannot be removed does not stop the rest.
func GC(ctx context.Context, url string, options GCOptions) ([]Resource, error) {
	var removed []gc.Resource
	err := withConnection(ctx, url, func(conn *libvirt.Connect) (err error) {
		removed, err = gc.Collect(ctx, conn, gc.Options{Label: options.Label, DryRun: options.DryRun, Kept: options.Kept})
		return err
	})
	if err != nil {
		err = fmt.Errorf("removing what earlier runs left at %s: %w", redact.Text(url), err)
	}
	return resources(removed), err
}

func resources(found []gc.Resource) []Resource {
	all := make([]Resource, len(found))
	for n := range found {
		all[n] = Resource(found[n])
	}
	return all
}

// withConnection calls do with a connection of its own.
func withConnection(ctx context.Context, url string, do func(*libvirt.Connect) error) error {
	pool := virt.NewConnections()
	on, release, err := pool.Acquire(ctx, url)
	if err != nil {
		return err
	}
	defer release()
	return do(on.Conn)
}
