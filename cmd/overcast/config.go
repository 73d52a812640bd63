package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
)

// configCommand prints a configuration, or nothing at all if it is not right.
func configCommand(args []string, stdout io.Writer) error {
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
	shown := &shower{secretsIn(root, !oneFile || isOvercasts(argument, root))}
	top := shown.top(root)
	if argument != "" && !oneFile {
		section, err := checkedSection(config, argument)
		if err != nil {
			return errors.New(shown.secrets.mask(err.Error()))
		}
		top = shown.below(top, child{argument, section})
	}
	if asJSON {
		return shown.json(stdout, top)
	}
	return shown.lines(stdout, top)
}

// load reads what the argument is about: one file, or the whole configuration.
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
	return config, false, nil // a host that is not right is told of when it is shown
}

func checkedSection(config *fixture.Config, label string) (*hocon.Value, error) {
	if err := config.Check(label); err != nil {
		return nil, err
	}
	return config.Section(label)
}

// looksLikeFile says that an argument is written as a file's name.
func looksLikeFile(argument string) bool {
	return strings.ContainsRune(argument, os.PathSeparator) ||
		slices.Contains([]string{".conf", ".json", ".properties"}, filepath.Ext(argument))
}

func isFile(argument string) bool {
	info, err := os.Stat(argument)
	return err == nil && !info.IsDir()
}

// hostKeys are keys that only a host's section has.
var hostKeys = []string{"libvirtBaseDomain", "baseDomain", "libvirtURL", "networkDeviceId", "ipLookupStrategy", "hostname"}

// isOvercasts says whether a file is a configuration of ours, by its name or
// by a host in it. Any other is some HOCON document, whose keys are not ours to
// interpret.
func isOvercasts(path string, root *hocon.Value) bool {
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
