package suite

import (
	"context"
	"fmt"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/recovered"
)

// plan is what the configuration says of the hosts of a suite.
type plan struct {
	config *fixture.Config // nil without hosts
	shared []string        // by all processes
	own    []string        // of each process
	unique []string        // those of the shared that have a static address
}

// readPlan reads the configuration; what is wrong with it is found before
// anything is made.
func (f *Fixtures) readPlan() (*plan, error) {
	p := &plan{}
	if len(f.labels) == 0 {
		return p, nil
	}
	var err error
	if p.config, err = fixture.Load(); err != nil {
		return nil, err
	}
	for _, label := range f.labels {
		if err := p.add(label); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *plan) add(label string) error {
	shared, err := p.config.Shared(label)
	if err != nil {
		return err
	}
	if !shared {
		p.own = append(p.own, label)
		return nil
	}
	p.shared = append(p.shared, label)
	unique, err := p.config.IsUnique(label)
	if unique {
		p.unique = append(p.unique, label)
	}
	return err
}

// setUp sets hosts up, side by side and together.
func (p *plan) setUp(ctx context.Context, labels []string) error {
	ctx, _ = fixture.Together(ctx, len(labels))
	return p.setUpEach(ctx, labels)
}

func (p *plan) setUpEach(ctx context.Context, labels []string) error {
	return recovered.ForEach(labels, func(label string) error {
		_, err := p.config.SetUp(ctx, label)
		return err
	})
}

// refuseShared refuses hosts that must not be set up once per process.
func (p *plan) refuseShared() error {
	if processes() < 2 || len(p.shared) == 0 {
		return nil
	}
	return fmt.Errorf("%s would be set up by each of %d processes, but has a static address or scope = \"suite\", and can exist only once: "+
		"write SynchronizedBeforeSuite(hosts.SetUpShared, hosts.Join) in place of BeforeSuite(hosts.SetUp), or run with one process",
		strings.Join(p.shared, ", "), processes())
}

// processes is how many there are in this run.
func processes() int {
	config, _ := ginkgo.GinkgoConfiguration()
	return config.ParallelTotal
}
