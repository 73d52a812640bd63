// Package outagetest reports outages of hosts in tests.
package outagetest

import (
	"fmt"
	"sync"

	"github.com/overcast-go/overcast/provider"
)

// Outages are what a test reports of a machine. The zero value is a machine that
// runs.
type Outages struct {
	mu      sync.Mutex
	changed chan struct{}
	err     error
	asks    int // until watched is closed
	watched chan struct{}
}

// Outage is that of an [provider.OutageReporter].
func (o *Outages) Outage() (<-chan struct{}, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	if o.asks--; o.asks == 0 {
		close(o.watched)
	}
	return o.changed, o.err
}

// Report reports an outage, or nil for a machine that runs, or reboots.
func (o *Outages) Report(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
}

// Asked returns a channel that is closed once the outage has been asked for so
// many times more.
func (o *Outages) Asked(times int) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asks, o.watched = times, make(chan struct{})
	return o.watched
}

// UnderWay is how often a call that watches the machine has asked.
const UnderWay = 2

// Outages that a provider may report.
var (
	ErrPoweredOff = fmt.Errorf("%w: the guest powered itself off", provider.ErrHostStopped)
	ErrSuspended  = pausedError{fmt.Errorf("%w: by an administrator", provider.ErrHostPaused), false}
	ErrFullPool   = pausedError{fmt.Errorf("%w: the pool is full", provider.ErrHostPaused), true}
	ErrUnwatched  = fmt.Errorf("%w: libvirtd has ended", provider.ErrHypervisorNotReachable)
)

type pausedError struct {
	error
	fault bool
}

func (e pausedError) Unwrap() error { return e.error }
func (e pausedError) Fault() bool   { return e.fault }
