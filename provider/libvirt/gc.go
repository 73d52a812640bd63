package libvirt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider/libvirt/internal/fsmapping"
	"github.com/overcast-go/overcast/provider/libvirt/internal/gc"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// Resource is something that overcast created on a hypervisor: the domain of a clone,
// a volume of one, a temporary pool over a folder, or a copied folder.
type Resource struct {
	Kind       string    `json:"kind"` // domain, volume, pool or folder
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
		errCopies := withCopies(ctx, conn, url, found, func(c fsmapping.Copies) error {
			copies, err := c.List(ctx)
			found = append(found, copies...)
			return err
		})
		return errors.Join(err, errCopies)
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
// A folder that was copied to a remote hypervisor is removed if its clone does not exist,
// over SSH as the user of url; after a day, if its owner cannot be seen. If url does not
// use SSH and no login succeeds, copied folders are ignored.
//
// It returns what it removed, or would remove with DryRun, also with an error: what
// cannot be removed does not stop the rest.
func GC(ctx context.Context, url string, options GCOptions) ([]Resource, error) {
	removed, err := collect(ctx, url, gc.Options{Label: options.Label, DryRun: options.DryRun, Kept: options.Kept})
	if err != nil {
		err = fmt.Errorf("removing what earlier runs left at %s: %w", redact.Text(url), err)
	}
	return resources(removed), err
}

// collect removes what overcast created on a hypervisor, and copied folders on its machine. It
// returns what it removed, also with an error.
func collect(ctx context.Context, url string, options gc.Options) (removed []gc.Resource, err error) {
	err = withConnection(ctx, url, func(conn *libvirt.Connect) (err error) {
		removed, err = gc.Collect(ctx, conn, options)
		errCopies := withCopies(ctx, conn, url, removed, func(c fsmapping.Copies) error {
			copies, err := c.Collect(ctx, options)
			removed = append(removed, copies...)
			return err
		})
		return errors.Join(err, errCopies)
	})
	return removed, err
}

// withCopies calls do for the copied folders of a remote hypervisor. The domains among
// removed that are not kept count as removed.
func withCopies(ctx context.Context, conn *libvirt.Connect, url string, removed []gc.Resource, do func(fsmapping.Copies) error) error {
	gateway, err := (&config{URL: url}).gateway()
	if err != nil || gateway == "" {
		return err
	}
	target, err := sshurl.ParseURL(gateway)
	if err != nil {
		return err
	}
	client, err := sshclient.Dial(ctx, target, nil)
	if err != nil {
		if scheme, _, _ := strings.Cut(url, "://"); !strings.Contains(scheme, "ssh") {
			return nil // copying needs SSH too
		}
		return fmt.Errorf("logging in to list copied folders: %w", err)
	}
	defer client.Close()
	isGone := func(clone string) bool {
		return slices.ContainsFunc(removed, func(r gc.Resource) bool {
			return r.Kind == "domain" && r.Name == clone && r.SkipReason == ""
		})
	}
	return do(fsmapping.Copies{Client: client, Conn: conn, Gone: isGone})
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
