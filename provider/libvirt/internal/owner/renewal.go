package owner

import (
	"context"
	"sync"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// renewal tells everybody, by the clone's metadata, that its owner is alive.
// Those who cannot look after the owner's process, on other machines, take it
// for dead when nothing has been said for the length of the lease.
type Renewal struct {
	conn   *libvirt.Connect
	domain string
	cancel context.CancelFunc
	over   sync.WaitGroup

	changing sync.Mutex // held from reading the metadata to writing it
}

// renewLease renews until it is stopped. What goes wrong shows elsewhere: a
// domain or a connection that is gone.
func Renew(conn *libvirt.Connect, domain string, lease time.Duration) *Renewal {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Renewal{conn: conn, domain: domain, cancel: cancel}
	r.over.Go(func() {
		tick := time.NewTicker(lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				_ = r.Change(ctx, func(m *Metadata) { m.Lease.Renewed = now.UTC().Truncate(time.Second) })
			}
		}
	})
	return r
}

// change changes the clone's metadata, one change at a time.
func (r *Renewal) Change(ctx context.Context, change func(*Metadata)) error {
	return virt.WithContext(ctx, r.conn, func() error {
		r.changing.Lock()
		defer r.changing.Unlock()
		return ChangeMetadata(r.conn, r.domain, change)
	})
}

// stop ends the renewal. A nil one has ended.
func (r *Renewal) Stop() {
	if r == nil {
		return
	}
	r.cancel()
	r.over.Wait()
}

// metadataPrefix is for the names in our element, where libvirt wants one.
const metadataPrefix = "overcast"

// changeMetadata changes our element in the metadata of a domain, and in that of
// its definition, if it has one that stays when it no longer runs.
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
	return domain.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, m.Text(), metadataPrefix, MetadataNamespace, where)
}
