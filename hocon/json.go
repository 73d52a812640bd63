package hocon

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// checkJSON refuses what is HOCON but not JSON: all JSON is HOCON, so that one
// parser reads both.
func checkJSON(src *source) error {
	text := strings.TrimPrefix(src.text, "\uFEFF")
	mark := len(src.text) - len(text)
	var raw json.RawMessage
	decoder := json.NewDecoder(strings.NewReader(text))
	err := decoder.Decode(&raw)
	offset := decoder.InputOffset()
	if err == nil {
		if _, err = decoder.Token(); err == io.EOF {
			return nil
		}
		return &SyntaxError{Pos: src.position(mark + int(offset)), Found: "more after the end of the JSON document"}
	}
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		offset = max(syntax.Offset-1, 0)
	}
	return &SyntaxError{Pos: src.position(mark + int(offset)), Found: "not JSON", Hint: strings.TrimPrefix(err.Error(), "json: ")}
}
