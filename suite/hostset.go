package suite

import (
	"context"
	"fmt"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/provider"
)

// hostSet groups the hosts of a suite by how many of each there are.
type hostSet struct {
	config *fixture.Config // nil without hosts
	own    []string        // one in each process
	shared []string        // one for all processes
	unique []string        // those of shared that have a static address
}

// readHostSet reads the configuration. Set-up calls it before it creates
// anything, so that an invalid configuration has no effect.
func readHostSet(labels []string) (*hostSet, error) {
	set := &hostSet{}
	if len(labels) == 0 {
		return set, nil
	}
	var err error
	if set.config, err = fixture.Load(); err != nil {
		return nil, err
	}
	for _, label := range labels {
		if err := set.add(label); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (set *hostSet) add(label string) error {
	prepared, err := set.prepare(label)
	if err != nil {
		return err
	}
	if prepared.Common().Scope != provider.ScopeSuite {
		set.own = append(set.own, label)
		return nil
	}
	set.shared = append(set.shared, label)
	if host.IsExclusive(prepared.Instance) {
		set.unique = append(set.unique, label)
	}
	return nil
}

// prepare prepares the instance of a host.
func (set *hostSet) prepare(label string) (host.Prepared, error) {
	section, err := set.config.Section(label)
	if err != nil {
		return host.Prepared{}, err
	}
	return host.Prepare(label, section)
}

// setUp starts to set up hosts at the same time, as one batch. It calls queued, unless
// it is nil, when their resources are reserved or queued for. Ginkgo's progress reports
// show the stack of a node, and each goroutine with a function of this package: a node
// that receives from the channel has a short stack, and the goroutine has none.
func (set *hostSet) setUp(ctx context.Context, labels []string, queued func()) <-chan error {
	return host.Default.StartSetUp(ctx, labels, set.prepare, host.SetupOptions{Queued: queued, Diagnose: true})
}

// refuseShared returns an error if each of several processes would set up a
// shared host.
func (set *hostSet) refuseShared() error {
	if processes() < 2 || len(set.shared) == 0 {
		return nil
	}
	return fmt.Errorf("setting up %s: a host with a static address or scope = \"suite\" exists once for all processes, and this run has %d: "+
		"use SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join) instead of BeforeSuite(hosts.SetUp), or run one process",
		strings.Join(set.shared, ", "), processes())
}

// processes returns the number of processes of this run.
func processes() int {
	config, _ := ginkgo.GinkgoConfiguration()
	return config.ParallelTotal
}
