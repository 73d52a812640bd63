package libvirt

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/gc"
	"github.com/overcast-go/overcast/provider/libvirt/internal/guard"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
)

// guardProcess removes what libvirtd does not remove when this process ends.
var guardProcess guard.Guard

// init ends a guard process whose parent has ended, when it has cleaned up.
func init() {
	lines, ok := guard.Orphaned()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), guardLimit)
	defer cancel()
	cleaned := make(chan struct{})
	go func() {
		defer close(cleaned)
		cleanUpAfter(ctx, lines)
	}()
	select {
	case <-cleaned:
	case <-ctx.Done():
	}
	guard.Exit()
}

// stepNoGuard reports that the clone has no guard process. If this process is killed, the next
// run removes the clone.
const stepNoGuard = "no guard process:"

// guardClone starts a guard process, unless there is one. If this process ends without tearing
// the clone down, the guard process removes what libvirtd leaves of it. For a clone that
// libvirtd removes completely, guardClone does nothing.
func (i *instance) guardClone(ctx context.Context) {
	if i.needsGuard() {
		i.guardAlways(ctx)
	}
}

// guardAlways does the same as guardClone for a clone of any kind. Two goroutines must not call
// it at the same time.
func (i *instance) guardAlways(ctx context.Context) {
	if i.unguard != nil {
		return
	}
	by := owner.Announced()
	if by.State(owner.Self()) != owner.Alive {
		return // the guard process could not see the end of this one
	}
	line, err := newEstate(by, i.config.URL)
	if err == nil {
		i.unguard, err = guardProcess.Acquire(line)
	}
	if err != nil {
		provider.Report(ctx, stepNoGuard, err.Error())
	}
}

// needsGuard reports whether libvirtd leaves something of the clone when this process ends: its
// domain, or the files of its overlays.
func (i *instance) needsGuard() bool {
	return i.overlay() == overlayFile || !i.isAutodestroyed()
}

// endGuard ends what guardClone has begun: nothing is left, or what is left is to stay.
func (i *instance) endGuard() {
	if i.unguard != nil {
		i.unguard()
		i.unguard = nil
	}
}

// estate is what a process may leave at a hypervisor. It is a line that a guard process gets.
type estate struct {
	Owner owner.Process
	URL   string
	Dir   string // working directory of the process: a URL may have relative paths
}

func newEstate(by owner.Process, url string) (line string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(estate{Owner: by, URL: url, Dir: dir})
	return string(text), err
}

// Limits and pauses of a guard process.
const (
	guardLimit     = 2 * time.Minute
	guardPause     = 50 * time.Millisecond
	guardLastPause = 2 * time.Second
)

// cleanUpAfter removes what an ended process has left at hypervisors.
func cleanUpAfter(ctx context.Context, lines []string) {
	var all sync.WaitGroup
	for _, line := range lines {
		var left estate
		if json.Unmarshal([]byte(line), &left) != nil {
			continue // the version of the program is the parent's
		}
		_ = os.Chdir(left.Dir) // all lines have the same, unless a test changes it
		all.Go(func() { left.cleanUp(ctx) })
	}
	all.Wait()
}

// cleanUp removes what the process has left at one hypervisor, as soon as it has ended.
//
// A call of libvirt continues when its client has ended: a domain that is being started, or
// destroyed, cannot be removed yet, and may appear a moment later. So it tries again until it
// has found nothing twice.
func (e estate) cleanUp(ctx context.Context) {
	pause := guardPause
	for nothing := 0; nothing < 2 && ctx.Err() == nil; pause = min(2*pause, guardLastPause) {
		if e.Owner.State(owner.Self()) != owner.Alive {
			removed, err := collect(ctx, e.URL, gc.Options{Owner: &e.Owner})
			if nothing++; len(removed) > 0 || err != nil {
				nothing = 0
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
