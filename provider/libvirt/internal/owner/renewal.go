package owner

import (
	"context"
	"sync"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// Renewal renews the ownership lease in the metadata of a clone. Processes that cannot
// see the owner, on other machines, treat it as ended when the lease has expired.
type Renewal struct {
	conn    func() *libvirt.Connect
	domain  string
	cancel  context.CancelFunc
	running sync.WaitGroup

	changing sync.Mutex // held from reading the metadata to writing it
}

// Renew starts a renewal, which must be stopped. conn returns the connection to use. It
// ignores errors: a domain or a connection that was lost is reported elsewhere.
func Renew(conn func() *libvirt.Connect, domain string, lease time.Duration) *Renewal {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Renewal{conn: conn, domain: domain, cancel: cancel}
	r.running.Go(func() {
		tick := time.NewTicker(lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				_ = r.change(ctx, func(conn *libvirt.Connect) error {
					if ctx.Err() != nil {
						return ctx.Err() // stopped while it waited for another change
					}
					return ChangeMetadata(conn, domain, func(m *Metadata) { m.Lease.Renewed = now.UTC().Truncate(time.Second) })
				})
			}
		}
	})
	return r
}

// Change changes the clone's metadata after all earlier changes, also after Stop.
func (r *Renewal) Change(ctx context.Context, change func(*Metadata)) error {
	return r.change(ctx, func(conn *libvirt.Connect) error { return ChangeMetadata(conn, r.domain, change) })
}

// change calls do while no other change is under way. A call that has not ended when ctx
// ends continues, and later changes wait for it.
func (r *Renewal) change(ctx context.Context, do func(*libvirt.Connect) error) error {
	conn := r.conn()
	return virt.WithContext(ctx, conn, func() error {
		r.changing.Lock()
		defer r.changing.Unlock()
		return do(conn)
	})
}

// Stop stops renewing the lease. A renewal that libvirt has not answered yet may still be
// written: what must not be overwritten is written with Change. It may be called on nil.
func (r *Renewal) Stop() {
	if r == nil {
		return
	}
	r.cancel()
	r.running.Wait()
}

// metadataPrefix is the XML prefix of overcast's element.
const metadataPrefix = "overcast"

// ChangeMetadata changes overcast's element in the metadata of a domain, and in its
// persistent definition if it has one.
func ChangeMetadata(conn *libvirt.Connect, name string, change func(*Metadata)) error {
	domain, err := conn.LookupDomainByName(name)
	if err != nil {
		return err
	}
	defer domain.Free()
	definition, err := virt.ReadDefinition(domain, 0)
	if err != nil {
		return err
	}
	if definition.Metadata == nil {
		return virt.ErrNoMetadata
	}
	m := ParseMetadata(name, definition.Metadata.XML)
	if m == nil {
		return virt.ErrNoMetadata
	}
	change(m)
	where := libvirt.DOMAIN_AFFECT_CURRENT
	persistent, err := domain.IsPersistent()
	if err != nil {
		return err
	}
	if active, err := domain.IsActive(); err == nil && active && persistent {
		where = libvirt.DOMAIN_AFFECT_LIVE | libvirt.DOMAIN_AFFECT_CONFIG
	}
	return domain.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, m.XML(), metadataPrefix, MetadataNamespace, where)
}
