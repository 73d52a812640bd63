package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/internal/redact"
	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// run runs the command line and returns the exit code of the process.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	addCompletion(root)
	command, err := root.ExecuteContextC(ctx)
	var usage *usageError
	var exit exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "overcast: %s\nusage: %s\nrun '%s --help' for help\n", redact.Text(usage.Error()), command.UseLine(), command.CommandPath())
		return exitUsage
	}
	fmt.Fprintln(stderr, redact.Text(err.Error()))
	return exitFailed
}

// exitError ends the process with this exit code. Everything has been printed.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is an invalid command line.
type usageError struct{ error }

// Unwrap returns the cause.
func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// newRoot returns the command overcast with all its subcommands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "overcast COMMAND",
		Short: "manage the hosts that test suites declare in overcast.conf",
		Long: `overcast manages the hosts that test suites declare in overcast.conf: it writes a
first configuration, checks what hosts need, keeps hosts up between test runs, logs in
to running hosts, and lists and removes what overcast has created on hypervisors.
Start with "overcast init", then run "overcast doctor".`,
		Args:                       cobra.ArbitraryArgs,
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
		Version:                    versionLine(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("a command is missing: %s", names(cmd))
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.AddCommand(
		initCommand(), configCommand(), doctorCommand(),
		upCommand(), downCommand(), warmCommand(), lsCommand(), gcCommand(), imageCommand(), cacheCommand(),
		sshCommand(), sshConfigCommand(), cpCommand(), consoleCommand(), screenshotCommand(),
		progressCommand(), versionCommand(),
	)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpTemplate(helpTemplate)
	root.SetFlagErrorFunc(flagError)
	for _, command := range root.Commands() {
		checkArgs(command)
	}
	return root
}

// checkArgs makes every error about the arguments of a command a usageError.
func checkArgs(command *cobra.Command) {
	command.DisableFlagsInUseLine = true // Use has them
	check := command.Args
	command.Args = func(cmd *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(cmd, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
	for _, sub := range command.Commands() {
		checkArgs(sub)
	}
}

const anyNumber = -1

// arguments accepts at least least and at most most arguments, or anyNumber of them.
// missing is what an invalid command line lacks.
func arguments(least, most int, missing string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("%s is missing", missing)
		case most != anyNumber && len(args) > most:
			return fmt.Errorf("unexpected argument %q", args[most])
		}
		return nil
	}
}

// addCompletion adds cobra's command for completion, with examples. A missing or unknown
// shell is an error. Its scripts go to the output that root has now.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd("completion")
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		panic(err) // it was added above
	}
	completion.Use = "completion SHELL"
	completion.Short = "print a completion script for bash, zsh, fish or powershell"
	completion.Long = "completion prints a script that completes commands, flags, labels, pools and layers\nin a shell. \"overcast completion SHELL --help\" says how to load it."
	completion.Example = `  source <(overcast completion bash)
  overcast completion fish > ~/.config/fish/completions/overcast.fish`
	completion.Args = cobra.ArbitraryArgs
	completion.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("a shell is missing: %s", names(cmd))
		}
		return usagef("unknown shell %q: there are %s", args[0], names(cmd))
	}
	for _, shell := range completion.Commands() {
		shell.Short = "print a completion script for " + shell.Name()
	}
	checkArgs(completion)
}

func names(cmd *cobra.Command) string {
	var list []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			list = append(list, c.Name())
		}
	}
	return strings.Join(list, ", ")
}

func unknownCommand(cmd *cobra.Command, name string) error {
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return usagef("unknown command %q: did you mean %s?", name, strings.Join(near, " or "))
	}
	return usagef("unknown command %q: there are %s", name, names(cmd))
}

// flagError is the usageError of the flags of a command line. For an unknown flag it names
// the nearest one, or all.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return &usageError{err}
	}
	given := "--" + unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		given = "-" + unknown.GetSpecifiedName()
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, "--"+f.Name)
		}
	})
	if near := editdistance.Nearest(given, known, len(given)/3); near != "" {
		return usagef("unknown flag %s: did you mean %s?", given, near)
	}
	if len(known) == 1 {
		return usagef("unknown flag %s: there is %s", given, known[0])
	}
	return usagef("unknown flag %s: there are %s", given, strings.Join(known, ", "))
}

const helpTemplate = `{{with or .Long .Short}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString | trimTrailingWhitespaces}}
`

const usageTemplate = `usage: {{.UseLine}}{{if .HasExample}}

examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version of overcast and of Go",
		Example: "  overcast version",
		Args:    arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionLine())
			return err
		},
	}
}

// versionLine names the module's version, the commit if the build knows it, and Go.
func versionLine() string {
	version, commit := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(info.Main.Version, version)
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				commit = ", commit " + setting.Value
			}
		}
	}
	return fmt.Sprintf("overcast %s%s, %s %s/%s", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
