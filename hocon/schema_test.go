package hocon

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSchemaHasTheKeysAndTypesOfAStruct(t *testing.T) {
	type inner struct {
		Wait time.Duration `hocon:"wait"`
	}
	text, err := json.Marshal(Schema(new(struct {
		inner
		Name  string           `hocon:"name,alias=label,required"`
		On    *bool            `hocon:"on"`
		Count int              `hocon:"count"`
		Any   *Value           `hocon:"any"`
		IP    netip.Addr       `hocon:"ip"`
		List  []inner          `hocon:"list"`
		Map   map[string]inner `hocon:"map"`
		None  string           `hocon:"-"`
	})))
	require.NoError(t, err)
	duration := `{"description": "a duration: a number of seconds, or a text such as 30s", "type": ["number", "string", "null"]}`
	section := `{"type": "object", "additionalProperties": false, "properties": {"wait": ` + duration + `}}`
	assert.JSONEq(t, `{"type": "object", "additionalProperties": false, "properties": {
		"wait": `+duration+`,
		"name": {"type": ["string", "number", "boolean", "null"]}, "label": {"type": ["string", "number", "boolean", "null"]},
		"on": {"type": ["boolean", "string", "null"]}, "count": {"type": ["number", "string", "null"]}, "any": {},
		"ip": {"type": ["string", "null"]},
		"list": {"type": "array", "items": `+section+`},
		"map": {"type": "object", "additionalProperties": `+section+`}}}`, string(text))
}
