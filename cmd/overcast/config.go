package main

import (
	"flag"
	"io"
	"os"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/hocon"
)

// configCommand prints a configuration, or nothing at all if it is not right.
func configCommand(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("config", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	asJSON := flags.Bool("json", false, "")
	if err := flags.Parse(args); err != nil || flags.NArg() > 1 {
		return errUsage
	}
	value, root, err := selected(flags.Arg(0))
	if err != nil {
		return err
	}
	shown := &shower{secrets: secretsIn(root)}
	if *asJSON {
		return shown.json(stdout, value)
	}
	return shown.lines(stdout, value)
}

// selected is the value that an argument names, and the whole that it is in.
func selected(argument string) (value, root *hocon.Value, err error) {
	if argument != "" && isFile(argument) {
		config, err := fixture.Load(fixture.File(argument))
		if err != nil {
			return nil, nil, err
		}
		return config.Root(), config.Root(), nil
	}
	config, err := fixture.Load()
	if err != nil {
		return nil, nil, err
	}
	if argument == "" {
		return config.Root(), config.Root(), nil
	}
	if err := config.Check(argument); err != nil {
		return nil, nil, err
	}
	section, err := config.Section(argument)
	return section, config.Root(), err
}

// isFile says whether an argument is there as a file, or is written as the
// path of one.
func isFile(argument string) bool {
	if info, err := os.Stat(argument); err == nil {
		return !info.IsDir()
	}
	for _, c := range argument {
		if c == os.PathSeparator {
			return true
		}
	}
	return false
}
