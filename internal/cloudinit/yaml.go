package cloudinit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkYAML checks that a text of the configuration is one YAML document with a mapping.
// cloud-init only logs a warning about another text, and goes on without it.
func checkYAML(field string, text []byte) error {
	from := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	err := from.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		if line, _, _ := bytes.Cut(text, []byte("\n")); bytes.Contains(line, []byte(":")) {
			return &ConfigError{field, `its keys are part of the comment in the first line: start a new line after #cloud-config (in HOCON: \n, or """ and a text of several lines)`}
		}
		return nil
	case err != nil:
		return &ConfigError{field, fmt.Sprintf("it is not valid YAML, %s: cloud-init would ignore it", strings.Replace(strings.TrimPrefix(err.Error(), "yaml: "), "line ", "near line ", 1))}
	case document.Content[0].Kind != yaml.MappingNode && document.Content[0].Tag != "!!null":
		return &ConfigError{field, "it is not a YAML mapping: write keys with values, as in packages: [nginx]"}
	case !errors.Is(from.Decode(&document), io.EOF):
		return &ConfigError{field, "it has more than one YAML document: cloud-init would ignore all of them"}
	}
	return nil
}
