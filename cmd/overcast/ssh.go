package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"github.com/spf13/cobra"
)

func sshCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ssh LABEL [-- CMD [ARG]...]",
		Short: "log in to a running host with ssh, or run a command there",
		Long: `ssh logs in to the running host of a label, with the user, key and jump host of its
configuration, or runs a command there. It takes the host that "overcast up" has set
up, otherwise the newest clone of that label that runs. It asks no question: the host
key is the one that the host showed at set-up; that of a clone of another process is
not known and not checked.

The exit code is that of ssh: the command's, or 255 if the login failed.`,
		Example: `  overcast ssh nat_host
  overcast ssh nat_host -- systemctl status nginx`,
		Args:              labelAndCommand,
		ValidArgsFunction: completeLabel,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRunning(cmd.Context(), args[0], func(h *host.Host) error { return runSSH(cmd, h, args[1:]) })
		},
	}
}

// labelAndCommand accepts a label and, after --, a command.
func labelAndCommand(cmd *cobra.Command, args []string) error {
	dash := cmd.ArgsLenAtDash()
	switch {
	case len(args) == 0 || dash == 0:
		return errors.New("a label is missing")
	case len(args) > 1 && dash != 1:
		return fmt.Errorf("%q after the label: write -- before a command", args[1])
	}
	return nil
}

func runSSH(cmd *cobra.Command, h *host.Host, command []string) error {
	options, err := h.SSHOptions()
	if err != nil {
		return err
	}
	var args []string
	for _, o := range options {
		args = append(args, "-o", o.Name+"="+o.Value)
	}
	args = append(args, "--", h.Address())
	return runProgram(cmd, "ssh", append(args, command...)...)
}

// runProgram runs a program on the terminal of this process. A program that fails
// ends this process with the same exit code.
func runProgram(cmd *cobra.Command, name string, args ...string) error {
	// The program gets an interrupt from the terminal itself.
	program := exec.CommandContext(context.WithoutCancel(cmd.Context()), name, args...)
	program.Stdin, program.Stdout, program.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
	err := program.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exitError(exit.ExitCode())
	}
	if err != nil {
		return fmt.Errorf("running %s: %w", name, err)
	}
	return nil
}

func sshConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ssh-config LABEL...",
		Short: "print the sections of an ssh configuration for running hosts",
		Long: `ssh-config prints a section for each host, with which plain ssh, scp and rsync reach
it under its label. ssh checks the host key of a host that "overcast up" has set up.`,
		Example: `  overcast ssh-config nat_host > ~/.ssh/overcast
  ssh -F ~/.ssh/overcast nat_host`,
		Args:              arguments(1, anyNumber, "a label"),
		ValidArgsFunction: completeLabels,
		RunE: func(cmd *cobra.Command, args []string) error {
			var out strings.Builder
			for _, label := range args {
				err := withRunning(cmd.Context(), label, func(h *host.Host) error { return writeSSHConfig(&out, label, h) })
				if err != nil {
					return err
				}
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), out.String())
			return err
		},
	}
}

func writeSSHConfig(out *strings.Builder, label string, h *host.Host) error {
	options, err := h.SSHOptions()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Host %s\n", label)
	for _, o := range options {
		fmt.Fprintf(out, "    %s %s\n", o.Name, o.Value)
	}
	return nil
}

func cpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cp SOURCE TARGET",
		Short: "copy a file or folder to or from a running host",
		Long:  `cp copies a file or folder. Either SOURCE or TARGET is LABEL:PATH, a path on a running host.`,
		Example: `  overcast cp ./app nat_host:/opt/app
  overcast cp nat_host:/var/log/app.log .`,
		Args: arguments(2, 2, "SOURCE or TARGET"),
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
