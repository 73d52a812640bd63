package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	asJSON, schema := false, false
	command := &cobra.Command{
		Use:   "config [--json] [FILE | LABEL]",
		Short: "print the resolved configuration: all of it, one FILE, or the host LABEL",
		Long: `config prints the resolved configuration: all of it, the section of the host
LABEL, or FILE, which is resolved without other sources. Each value has a line
with its position. Passwords and passphrases are printed as ********. With LABEL, the
keys and values of the section are checked, too; "overcast doctor" checks all hosts.

An argument is a FILE if it contains a slash, ends in .conf, .json or .properties,
or names a file but no host; otherwise it is a LABEL.`,
		Example: `  overcast config                       # everything
  overcast config nat_host              # one host
  overcast config --json ./other.conf   # one file, as JSON
  overcast config --schema > overcast.schema.json`,
		Args: arguments(0, 1, ""),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			labels, _ := completeLabel(cmd, args, toComplete)
			return labels, cobra.ShellCompDirectiveDefault // files, too
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if schema && len(args) > 0 {
				return usagef("--schema takes no argument")
			}
			if schema {
				return printJSON(cmd.OutOrStdout(), provider.Schema())
			}
			return printConfig(strings.Join(args, ""), asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	command.Flags().BoolVar(&schema, "schema", false, "print a JSON schema of overcast.conf, for editors")
	return command
}

// printConfig prints a resolved configuration. If it is invalid, it prints nothing
// on stdout.
func printConfig(argument string, asJSON bool, stdout, stderr io.Writer) error {
	config, oneFile, err := load(argument)
	if err != nil {
		return err
	}
	root := config.Root()
	p := &printer{findSecrets(root, !oneFile || isOvercastConfig(argument, root))}
	noteMissingIncludes(stderr, config, p.secrets)
	if argument == "" && len(root.Keys()) == 0 && len(config.Files()) == 0 {
		fmt.Fprintf(stderr, "note: %v\n", errNoConfiguration)
	}
	printed := p.root(root)
	if argument != "" && !oneFile {
		section, err := checkedSection(config, argument)
		if err != nil {
			return errors.New(p.secrets.mask(err.Error()))
		}
		printed = p.child(printed, child{argument, section})
	}
	if asJSON {
		return p.json(stdout, printed)
	}
	return p.lines(stdout, printed)
}

// noteMissingIncludes prints the include statements that named no existing file.
// They are not errors in HOCON, but often mistakes.
func noteMissingIncludes(out io.Writer, config *fixture.Config, secrets *secrets) {
	for _, missing := range config.MissingIncludes() {
		note := fmt.Sprintf("%s: note: ignored the include of %q: %s", missing.Pos, missing.Name, missing.Reason)
		fmt.Fprintln(out, secrets.mask(note))
	}
}

// load loads the file or the configuration that the argument selects.
func load(argument string) (config *fixture.Config, oneFile bool, err error) {
	if looksLikeFile(argument) {
		config, err = fixture.Load(fixture.File(argument))
		return config, true, err
	}
	config, err = fixture.Load()
	if argument == "" || !isFile(argument) {
		return config, false, err
	}
	if err == nil {
		_, err = config.Section(argument)
	}
	if config == nil || errors.Is(err, fixture.ErrUnknownLabel) {
		config, err = fixture.Load(fixture.File(argument))
		return config, true, err
	}
	return config, false, nil // checkedSection reports an invalid section
}

// checkedSection returns the section of a host, or what is invalid in it.
func checkedSection(config *fixture.Config, label string) (*hocon.Value, error) {
	if err := config.Check(label); err != nil {
		return nil, err
	}
	return config.Section(label)
}

// looksLikeFile reports whether an argument is a file name and not a label.
func looksLikeFile(argument string) bool {
	return strings.ContainsRune(argument, os.PathSeparator) ||
		slices.Contains([]string{".conf", ".json", ".properties"}, filepath.Ext(argument))
}

func isFile(argument string) bool {
	info, err := os.Stat(argument)
	return err == nil && !info.IsDir()
}

// hostKeys are keys that only the section of a host has.
var hostKeys = []string{"libvirtBaseDomain", "baseDomain", "libvirtURL", "networkDeviceId", "ipLookupStrategy", "hostname"}

// isOvercastConfig reports whether a file configures hosts, by its name or by
// the section of a host in it. The keys of any other HOCON document have no
// meaning here.
func isOvercastConfig(path string, root *hocon.Value) bool {
	if filepath.Base(path) == "overcast.conf" || isSameFile(path, os.Getenv("OVERCAST_CONF")) {
		return true
	}
	return slices.ContainsFunc(children(root), func(section child) bool {
		return slices.ContainsFunc(hostKeys, func(key string) bool {
			_, ok := section.value.Get(key)
			return ok
		})
	})
}

func isSameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}
