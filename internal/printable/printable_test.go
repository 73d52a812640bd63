package printable_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/overcast-go/overcast/internal/printable"
	"github.com/stretchr/testify/assert"
)

func TestTextShowsControlCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"plain\ttext\nände 🙂":       "plain\ttext\nände 🙂",
		"line\r\nend":               "line\nend",
		"over\rwritten":             `over\rwritten`,
		"\x1b[2J\x1b]0;title\a":     `\x1b[2J\x1b]0;title\a`,
		"C1 \u009b31m":              `C1 \u009b31m`,
		"reversed \u202etxt.exe":    `reversed \u202etxt.exe`,
		"invalid \xff\xfe":          `invalid \xff\xfe`,
		"a replacement char \ufffd": "a replacement char \ufffd",
	} {
		assert.Equal(t, want, printable.Text(text))
	}
}

func TestExcerptsAreLimited(t *testing.T) {
	short := strings.Repeat("é", 1000)
	assert.Equal(t, short, printable.Excerpt(short))
	long := printable.Excerpt("begin" + strings.Repeat("é\x1b", 1<<20) + "end")
	assert.True(t, strings.HasPrefix(long, "begin") && strings.HasSuffix(long, "end"))
	assert.Contains(t, long, "bytes omitted")
	assert.Less(t, len(long), 1<<16)
}

func TestLastLines(t *testing.T) {
	assert.Empty(t, printable.LastLines("", 3))
	assert.Empty(t, printable.LastLines("\n \r\n\n", 3))
	assert.Equal(t, []string{"b", "c\\x1b"}, printable.LastLines("a\nb \r\n\nc\x1b\n", 2))
	wide := printable.LastLines("first\n"+strings.Repeat("é", 1<<20), 2)
	assert.Equal(t, []string{"first", strings.Repeat("é", 250) + "..."}, wide)
}

func FuzzText(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\r\n\xff\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		shown := printable.Text(text)
		if !utf8.ValidString(shown) || strings.ContainsAny(shown, "\x1b\r\x00\a\b") {
			t.Errorf("%q is shown as %q", text, shown)
		}
		if again := printable.Text(shown); again != shown {
			t.Errorf("%q becomes %q", shown, again)
		}
		for _, line := range printable.LastLines(text, 3) {
			if len(line) > 10*printable.MaxWidth || strings.Contains(line, "\n") {
				t.Errorf("line %q", line)
			}
		}
	})
}
