package provider

import (
	"maps"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/hocon"
)

// Described is an optional capability of a [Provider]: the keys of its hosts are then in
// the JSON schema of the configuration.
type Described interface {
	// Section returns a pointer to a struct like those that sections are decoded into.
	Section() any
}

// Schema returns a JSON schema of a configuration with the hosts of the providers that
// are registered. A section may also be a template, which has any keys, or a value that
// other sections use.
func Schema() map[string]any {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	hosts := map[string]any{}
	anyOf := []any{}
	for _, name := range slices.Sorted(maps.Keys(registry.byName)) {
		if d, ok := registry.byName[name].(Described); ok {
			hosts[name] = hocon.Schema(d.Section())
			anyOf = append(anyOf, map[string]any{"$ref": "#/$defs/" + strings.ReplaceAll(name, " ", "%20")})
		}
	}
	anyOf = append(anyOf, map[string]any{"description": "a template or a value"})
	return map[string]any{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "overcast.conf",
		"type":                 "object",
		"additionalProperties": map[string]any{"anyOf": anyOf},
		"$defs":                hosts,
	}
}
