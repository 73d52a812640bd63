package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/provider"
)

// doctorCommand checks everything that a host depends on, or that all hosts depend
// on. It prints a line for each check; a line that failed says what to do.
func doctorCommand(args []string, stdout io.Writer) error {
	if len(args) > 1 {
		return errUsage
	}
	config, err := fixture.Load()
	if err != nil {
		return err
	}
	noteMissingIncludes(stdout, config, findSecrets(config.Root(), true))
	labels := args
	if len(labels) == 0 {
		labels = config.Hosts()
	}
	ctx, stop := untilStopped()
	defer stop()
	healthy := true
	for _, label := range labels {
		for _, result := range check(ctx, config, label) {
			verdict, text := "ok", result.Detail
			if result.Warning != "" {
				verdict, text = "WARN", result.Warning
			}
			if result.Err != nil {
				verdict, healthy = "FAILED", false
				text = result.Err.Error()
			}
			text, _ = ssh.Redact(text) // it may repeat parts of the configuration
			fmt.Fprintf(stdout, "%-6s  %s: %s: %s\n", verdict, label, result.Name, text)
		}
	}
	if !healthy {
		return errChecksFailed
	}
	return nil
}

// errChecksFailed is the error when the output has shown what is wrong.
var errChecksFailed = errors.New("checks failed")

// check checks the configuration of a host and everything that the host depends on.
func check(ctx context.Context, config *fixture.Config, label string) []provider.Result {
	const name = "configuration"
	section, err := config.Section(label)
	if err != nil {
		return []provider.Result{{Name: name, Err: fmt.Errorf("%w: declare the host, or correct the label", err)}}
	}
	results, err := host.Check(ctx, label, section)
	if err != nil {
		return []provider.Result{{Name: name, Err: fmt.Errorf("%w: correct that line", err)}}
	}
	return append([]provider.Result{{Name: name, Detail: strings.Join(config.Files(), ", ")}}, results...)
}
