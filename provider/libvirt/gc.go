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
// for Java are listed, too. With an error, the result is what could be listed. If libvirt does
// not answer, List returns soon after ctx has ended, or the connection counts as lost, with
// nothing but the error; so do the other functions of this package that list or remove.
func List(ctx context.Context, url string) ([]Resource, error) {
	found, err := withConnection(ctx, url, func(ctx context.Context, conn *libvirt.Connect) ([]gc.Resource, error) {
		found, err := gc.List(ctx, conn, gc.Options{Kept: true})
		errCopies := withCopies(ctx, conn, url, found, func(c fsmapping.Copies) error {
			copies, err := c.List(ctx)
			found = append(found, copies...)
			return err
		})
		return found, errors.Join(err, errCopies)
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
func collect(ctx context.Context, url string, options gc.Options) ([]gc.Resource, error) {
	return withConnection(ctx, url, func(ctx context.Context, conn *libvirt.Connect) ([]gc.Resource, error) {
		removed, err := gc.Collect(ctx, conn, options)
		errCopies := withCopies(ctx, conn, url, removed, func(c fsmapping.Copies) error {
			copies, err := c.Collect(ctx, options)
			removed = append(removed, copies...)
			return err
		})
		return removed, errors.Join(err, errCopies)
	})
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

// withConnection calls do with a connection of its own. See [over].
func withConnection[T any](ctx context.Context, url string, do func(context.Context, *libvirt.Connect) (T, error)) (T, error) {
	on, release, err := virt.NewConnections().Acquire(ctx, url)
	if err != nil {
		var none T
		return none, err
	}
	return over(ctx, on, release, func(ctx context.Context) (T, error) { return do(ctx, on.Conn) })
}

// over calls do, which uses a connection, and returns its result. The context of do ends with
// ctx and with the connection. If do has not returned within cancelGrace after that, over
// returns the zero value and an error, and do continues in the background: it must not write
// to variables of the caller. over releases the connection when do has returned.
func over[T any](ctx context.Context, on *virt.Connection, release func(), do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := on.Context(ctx)
	defer cancel()
	var result T
	call := virt.Async(func() (err error) {
		result, err = do(ctx)
		return err
	})
	if !ends(ctx, call) {
		go func() {
			call.Await(context.Background())
			release()
		}()
		var none T
		return none, on.OrLost(fmt.Errorf("libvirt has not answered: %w", context.Cause(ctx)))
	}
	err := on.OrLost(call.Err)
	release()
	return result, err
}
