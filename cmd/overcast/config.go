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
	value, root, err := selected(strings.Join(names, ""))
	if err != nil {
		return err
	}
	shown := &shower{secrets: secretsIn(root)}
	if asJSON {
		return shown.json(stdout, value)
	}
	return shown.lines(stdout, value)
}

// selected is the value that an argument names, and the whole that it is in.
func selected(argument string) (value, root *hocon.Value, err error) {
	if looksLikeFile(argument) {
		return whole(fixture.Load(fixture.File(argument)))
	}
	config, err := fixture.Load()
	if argument == "" {
		return whole(config, err)
	}
	if err == nil {
		err = config.Check(argument)
	}
	if isFile(argument) && (config == nil || errors.Is(err, fixture.ErrUnknownLabel)) {
		return whole(fixture.Load(fixture.File(argument)))
	}
	if err != nil {
		return nil, nil, err
	}
	section, err := config.Section(argument)
	return section, config.Root(), err
}

// whole is all of a configuration.
func whole(config *fixture.Config, err error) (value, root *hocon.Value, _ error) {
	if err != nil {
		return nil, nil, err
	}
	return config.Root(), config.Root(), nil
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
