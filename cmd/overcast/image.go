package main

import (
	"errors"
	"fmt"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/provider/libvirt"
	"github.com/spf13/cobra"
)

func imageCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "image",
		Short: "import images ahead of a test run, or list them",
		Example: `  overcast image import images/debian-12.qcow2
  overcast image ls`,
		Args: cobra.ArbitraryArgs,
		RunE: requireCommand,
	}
	command.AddCommand(imageImportCommand(),
		layerListCommand("list the images that hypervisors have imported", "image", func(l libvirt.Layer) bool { return l.Kind == libvirt.KindImage }))
	return command
}

func imageImportCommand() *cobra.Command {
	var at hypervisors
	var digest, pool string
	command := &cobra.Command{
		Use:   "import [--sha256 DIGEST] [--pool POOL] [-c URL]... FILE|URL",
		Short: "import an image into a pool of the hypervisors",
		Long: `import does what the first set-up of a host with this image would do: it
downloads and unpacks the image, and uploads it to a pool. A hypervisor that
has the image keeps it. A later set-up finds it by its digest.`,
		Example: `  overcast image import images/debian-12.qcow2
  overcast image import --sha256 5f70bf18a08660... https://example.org/debian.qcow2`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			urls, err := at.list(cmd.Context())
			if err != nil {
				return err
			}
			var errs []error // a hypervisor that fails does not stop the others
			for _, url := range urls {
				l, err := libvirt.ImportImage(cmd.Context(), url, pool, args[0], digest)
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has image %s as %s\n", redact.Text(url), l.Parent, l.Name)
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
	command.Flags().StringVar(&digest, "sha256", "", "`DIGEST` that the file of a URL must have, or none")
	command.Flags().StringVar(&pool, "pool", "", "`POOL` of the image (default the pool default)")
	at.addFlag(command)
	return command
}
