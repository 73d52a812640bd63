package main

import (
	"fmt"
	"io"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/ssh"
)

// doctorCommand checks all that one host relies on, or every host. It prints a
// line for each link; those that are broken say how to mend them.
func doctorCommand(args []string, stdout io.Writer) error {
	if len(args) > 1 {
		return errUsage
	}
	config, err := fixture.Load()
	if err != nil {
		return err
	}
	labels := args
	if len(labels) == 0 {
		labels = config.Hosts()
	}
	ctx, stop := untilStopped()
	defer stop()
	healthy := true
	for _, label := range labels {
		for _, f := range config.Diagnose(ctx, label) {
			verdict, told := "ok", f.Seen
			if f.Err != nil {
				verdict, healthy = "FAILED", false
				told = f.Err.Error()
			}
			told, _ = ssh.Redact(told) // it may repeat what was given
			fmt.Fprintf(stdout, "%-6s  %s: %s: %s\n", verdict, label, f.Link, told)
		}
	}
	if !healthy {
		return fixture.ErrUnhealthy
	}
	return nil
}
