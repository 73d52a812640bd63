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
)

// configCommand prints a resolved configuration. If it is invalid, it prints
// nothing on stdout.
func configCommand(args []string, stdout, stderr io.Writer) error {
	asJSON := false
	var names []string
	for _, arg := range args {
		switch {
		case arg == "--json" || arg == "-json":
			asJSON = true
		case strings.HasPrefix(arg, "-") || len(names) > 0:
			return errUsage
		default:
			names = append(names, arg)
		}
	}
	argument := strings.Join(names, "")
	config, oneFile, err := load(argument)
	if err != nil {
		return err
	}
	root := config.Root()
	p := &printer{findSecrets(root, !oneFile || isOvercastConfig(argument, root))}
	noteMissingIncludes(stderr, config, p.secrets)
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
