package suite

import (
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/filelock"
)

// exclusiveUses are the hosts that the running spec uses exclusively.
type exclusiveUses struct {
	mu      sync.Mutex
	run     string // identifies the run; empty before Join, and without shared hosts
	byLabel map[string]*exclusiveUse
}

type exclusiveUse struct {
	queue string // in which the spec is first
	count int    // how often the spec has acquired the host
}

// setRun sets the run that the process belongs to.
func (u *exclusiveUses) setRun(run string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.run = run
}

// reacquire counts another acquisition of a host that the spec uses already, and
// returns whether it does.
func (u *exclusiveUses) reacquire(label string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	use := u.byLabel[label]
	if use != nil {
		use.count++
	}
	return use != nil
}

// acquired records the first acquisition of a host.
func (u *exclusiveUses) acquired(label, queue string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byLabel == nil {
		u.byLabel = map[string]*exclusiveUse{}
	}
	u.byLabel[label] = &exclusiveUse{queue: queue, count: 1}
}

// release undoes one acquisition.
func (u *exclusiveUses) release(label string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byLabel[label].count--; u.byLabel[label].count == 0 {
		delete(u.byLabel, label)
	}
}

// has returns whether the spec uses a host exclusively.
func (u *exclusiveUses) has(label string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.byLabel[label] != nil
}

// queues returns the names of the queues in which the spec is first.
func (u *exclusiveUses) queues() (names []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, use := range u.byLabel {
		names = append(names, use.queue)
	}
	return names
}

// queue returns the name of the queue for a host's address. A loopback address
// belongs to a different host in each run, so its queue is the run's own.
func (u *exclusiveUses) queue(address string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	name := "exclusive-" + address
	if isLoopback(address) {
		run := u.run
		if run == "" {
			run = fmt.Sprint(os.Getpid())
		}
		name += "-" + run
	}
	return name
}

func isLoopback(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.IsLoopback()
}

// removeQueues removes the queues that only this run uses. Process 1 calls it
// when all others have ended.
func (f *Fixtures) removeQueues() {
	dir, err := filelock.Dir()
	if err != nil {
		return
	}
	for _, label := range f.labels {
		host, err := fixture.Lookup(label)
		if err == nil && isLoopback(host.Address()) {
			_ = filelock.RemoveQueue(dir, f.uses.queue(host.Address())) // an empty queue that stays does no harm
		}
	}
}
