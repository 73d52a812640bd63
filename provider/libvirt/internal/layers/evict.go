package layers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// DefaultMaxAge is how long after its last use a layer is evicted by default.
const DefaultMaxAge = 14 * 24 * time.Hour

// evictionGrace protects the layers that a set-up has planned to use but does not refer
// to yet.
const evictionGrace = time.Hour

// Limits are those of the cache of a hypervisor. 0 is no limit.
type Limits struct {
	MaxAge  time.Duration // since the last use
	MaxSize uint64        // of all layers together, in bytes
}

// Evict removes the layers that exceed the limits. Those that are in use stay, and those
// that a set-up has used within the last hour. It returns what it removed, also with an
// error.
func Evict(ctx context.Context, conn *libvirt.Connect, limits Limits) ([]*Layer, error) {
	return removeUnused(ctx, conn, func(all []*Layer, users map[string][]string) []*Layer {
		return limits.excess(all, users, time.Now())
	})
}

// excess returns the layers to remove, the least recently used first.
func (m Limits) excess(all []*Layer, users map[string][]string, now time.Time) []*Layer {
	var size uint64
	var unused []*Layer
	for _, l := range all {
		size += l.Bytes
		if len(users[l.Name]) == 0 && now.Sub(l.Used) > evictionGrace {
			unused = append(unused, l)
		}
	}
	slices.SortStableFunc(unused, func(a, b *Layer) int { return a.Used.Compare(b.Used) })
	var excess []*Layer
	for _, l := range unused {
		tooOld := m.MaxAge > 0 && now.Sub(l.Used) > m.MaxAge
		tooMuch := m.MaxSize > 0 && size > m.MaxSize
		if tooOld || tooMuch {
			excess = append(excess, l)
			size -= l.Bytes
		}
	}
	return excess
}

// Prune removes the layers that are not in use and were last used before a time. It
// returns those that it removed, also with an error.
func Prune(ctx context.Context, conn *libvirt.Connect, before time.Time) ([]*Layer, error) {
	return removeUnused(ctx, conn, func(all []*Layer, users map[string][]string) []*Layer {
		return slices.DeleteFunc(all, func(l *Layer) bool { return len(users[l.Name]) > 0 || !l.Used.Before(before) })
	})
}

// RemoveNamed removes the layers with these keys, unless they are in use. It returns those
// that it removed, also with an error.
func RemoveNamed(ctx context.Context, conn *libvirt.Connect, keys ...string) ([]*Layer, error) {
	return removeUnused(ctx, conn, func(all []*Layer, users map[string][]string) []*Layer {
		return slices.DeleteFunc(all, func(l *Layer) bool { return len(users[l.Name]) > 0 || !slices.Contains(keys, string(l.Key)) })
	})
}

// removeUnused removes the layers that choose returns, except those that a set-up has
// used meanwhile, and those whose domains have been started, which the error names. It
// calls choose again until nothing is removed: a layer may be in use only by a layer that
// was removed.
func removeUnused(ctx context.Context, conn *libvirt.Connect, choose func([]*Layer, map[string][]string) []*Layer) ([]*Layer, error) {
	var removed []*Layer
	for {
		all, err := List(conn)
		if err != nil || len(all) == 0 {
			return removed, err
		}
		users, err := Users(conn, all)
		if err != nil {
			return removed, err
		}
		gone, err := removeAll(ctx, conn, choose(all, users))
		removed = append(removed, gone...)
		if ctx.Err() != nil || len(gone) == 0 {
			return removed, err
		}
	}
}

// removeAll removes layers, except those that a set-up has used since they were read.
func removeAll(ctx context.Context, conn *libvirt.Connect, unused []*Layer) ([]*Layer, error) {
	var removed []*Layer
	var errs []error
	for _, l := range unused {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		if now, err := l.current(conn); err != nil || now == nil || !now.Used.Equal(l.Used) {
			errs = append(errs, err)
			continue
		}
		if err := virt.WithContext(ctx, conn, func() error { return l.Remove(conn) }); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, l)
	}
	return removed, errors.Join(errs...)
}
