package hocon

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type bareInner struct {
	Enabled *bool  `hocon:"enabled,bare"`
	After   string `hocon:"after"`
}

func TestABareValueTakesThePlaceOfAnObject(t *testing.T) {
	decode := func(text string) (*bareInner, error) {
		document, err := Parse(t.Context(), "test.conf", []byte(text), nil)
		require.NoError(t, err)
		root, err := document.Resolve(t.Context(), nil)
		require.NoError(t, err)
		var decoded struct {
			Warm *bareInner `hocon:"warm"`
		}
		err = root.Decode(&decoded)
		return decoded.Warm, err
	}
	warm, err := decode("")
	require.NoError(t, err)
	assert.Nil(t, warm)
	warm, err = decode("warm = true")
	require.NoError(t, err)
	assert.True(t, *warm.Enabled)
	warm, err = decode("warm.after = a")
	require.NoError(t, err)
	assert.Nil(t, warm.Enabled)
	assert.Equal(t, "a", warm.After)
	_, err = decode("warm = 7")
	require.EqualError(t, err, "test.conf:1:8: warm: 7 is not true or false")
}

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
		Warm  *bareInner       `hocon:"warm"`
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
		"map": {"type": "object", "additionalProperties": `+section+`},
		"warm": {"type": ["object", "boolean", "string", "null"], "additionalProperties": false, "properties": {
			"enabled": {"type": ["boolean", "string", "null"]}, "after": {"type": ["string", "number", "boolean", "null"]}}}}}`, string(text))
}
