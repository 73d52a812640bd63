package hocon

import (
	"encoding"
	"reflect"
)

// Schema returns a JSON schema for the values that [Value.Decode] stores in a type like
// that of v: a struct or a pointer to one. It panics if a tag has an unknown option.
//
// Numbers and booleans may also be strings, as in HOCON. A required key is not required
// in the schema: it may come from another file.
func Schema(v any) map[string]any { return schemaOf(reflect.TypeOf(v)) }

func schemaOf(t reflect.Type) map[string]any {
	for t.Kind() == reflect.Pointer && t != valueType {
		t = t.Elem()
	}
	switch {
	case t == valueType:
		return map[string]any{}
	case t == durationType:
		return typed("a duration: a number of seconds, or a text such as 30s", "number", "string")
	case t == sizeType:
		return typed("a size: a number of bytes, or a text such as 512 MiB", "number", "string")
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return typed("", "string")
	}
	switch t.Kind() {
	case reflect.Struct:
		return structSchema(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Bool:
		return typed("", "boolean", "string")
	case reflect.String:
		return typed("", "string", "number", "boolean")
	default:
		return typed("", "number", "string")
	}
}

// structSchema is the schema of an object with the keys of a struct.
func structSchema(t reflect.Type) map[string]any {
	properties := map[string]any{}
	for _, f := range structFields(t) {
		for _, name := range f.names {
			properties[name] = schemaOf(t.FieldByIndex(f.index).Type)
		}
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

// typed is the schema of a value of one of the types, or null.
func typed(description string, types ...string) map[string]any {
	schema := map[string]any{"type": append(types, "null")}
	if description != "" {
		schema["description"] = description
	}
	return schema
}
