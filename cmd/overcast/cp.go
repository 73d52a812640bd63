package main

import (
	"context"
	"errors"
	"strings"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/spf13/cobra"
)

func cpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cp SOURCE TARGET",
		Short: "copy a file or folder to or from a running host",
		Long:  `cp copies a file or folder. Either SOURCE or TARGET is LABEL:PATH, a path on a running host.`,
		Example: `  overcast cp ./app nat_host:/opt/app
  overcast cp nat_host:/var/log/app.log .`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			label, copyFile, err := parseCopy(args[0], args[1])
			if err != nil {
				return &usageError{err}
			}
			return withRunning(cmd.Context(), label, func(*host.Host) error {
				return copyFile(cmd.Context(), fixture.Host(label))
			})
		},
	}
}

// parseCopy returns the label of the host and the function that copies.
func parseCopy(source, target string) (label string, do func(context.Context, *fixture.CloudHost) error, err error) {
	from, remoteSource, isSource := remotePath(source)
	to, remoteTarget, isTarget := remotePath(target)
	switch {
	case isSource && isTarget:
		return "", nil, errors.New("both SOURCE and TARGET are on a host: copy to this machine first")
	case isSource:
		return from, func(ctx context.Context, h *fixture.CloudHost) error { return h.Download(ctx, remoteSource, target) }, nil
	case isTarget:
		return to, func(ctx context.Context, h *fixture.CloudHost) error { return h.Upload(ctx, source, remoteTarget) }, nil
	}
	return "", nil, errors.New("neither SOURCE nor TARGET is on a host: write LABEL:PATH")
}

// remotePath splits LABEL:PATH. A path with a slash before the colon is local.
func remotePath(arg string) (label, path string, ok bool) {
	label, path, ok = strings.Cut(arg, ":")
	return label, path, ok && label != "" && !strings.Contains(label, "/")
}
