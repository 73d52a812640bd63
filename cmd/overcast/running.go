package main

import (
	"context"
	"sync"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
)

// preparer prepares hosts from the configuration.
func preparer(ctx context.Context) host.Preparer {
	load := sync.OnceValues(func() (*fixture.Config, error) { return fixture.Load(fixture.WithContext(ctx)) })
	return func(label string) (host.Prepared, error) {
		config, err := load()
		if err != nil {
			return host.Prepared{}, err
		}
		section, err := config.Section(label)
		if err != nil {
			return host.Prepared{}, err
		}
		return host.Prepare(label, section)
	}
}

// withRunning calls do with a running host of a label, whatever process has set it
// up.
func withRunning(ctx context.Context, label string, do func(*host.Host) error) error {
	registry := host.Default
	h, err := registry.Reach(ctx, label, preparer(ctx))
	if err != nil {
		return err
	}
	defer func() { _ = registry.TearDown(context.WithoutCancel(ctx), label) }() // forgets it
	return do(h)
}
