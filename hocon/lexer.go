package hocon

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/overcast-go/overcast/internal/redact"
)

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenNewline
	tokenSpace // white space without a newline
	tokenComma
	tokenSeparator // ":" or "="
	tokenPlusEquals
	tokenOpenBrace
	tokenCloseBrace
	tokenOpenBracket
	tokenCloseBracket
	tokenQuoted
	tokenUnquoted
	tokenNumber
	tokenBoolean
	tokenNull
	tokenSubstitution // "${"; the path and "}" follow as tokens
	tokenOptional     // "${?"
)

// A token is a part of the text. Its text is as written, except for a quoted
// string, where it is the string's value.
type token struct {
	kind       tokenKind
	start, end int
	text       string
}

// describe returns the token as it appears in an error message.
func (t token) describe() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the file"
	case tokenNewline:
		return "the end of the line"
	case tokenSpace:
		return "white space"
	case tokenQuoted:
		return "a string" // not its text, which may be a password
	default:
		if redact.MayHoldSecret(t.text) {
			return "a URL or a parameter"
		}
		return "'" + abbreviate(t.text) + "'"
	}
}

// abbreviate shortens a text that is quoted in an error message.
func abbreviate(s string) string {
	const limit = 40
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit]) + "..."
}

// A lexer splits a text into tokens and drops comments (specification:
// "Comments", "Whitespace", "Unquoted strings", "Multi-line strings"). The text
// must be valid UTF-8.
type lexer struct {
	src *source
	at  int
}

// A class says how a byte starts or continues a token.
type class uint8

const (
	classPlain class = iota // may be part of an unquoted string
	classSpace
	classForbidden
	classSlash // starts a comment if another slash follows
	classWide  // first byte of a character outside ASCII
)

var classes = func() (table [256]class) {
	for _, c := range "$\"{}[]:=,+#`^?!@*&\\" {
		table[c] = classForbidden
	}
	for _, c := range " \t\n\v\f\r\x1c\x1d\x1e\x1f" {
		table[c] = classSpace
	}
	table['/'] = classSlash
	for c := utf8.RuneSelf; c < len(table); c++ {
		table[c] = classWide
	}
	return table
}()

// wideSpace reports whether r, which is not ASCII, is white space. That
// includes the byte order mark.
func wideSpace(r rune) bool {
	return r == '\uFEFF' || unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp)
}

// next returns the next token, which is tokenEnd at the end of the text.
func (l *lexer) next() (token, error) {
	text := l.src.text
	start := l.at
	if start >= len(text) {
		return token{kind: tokenEnd, start: start, end: start}, nil
	}
	c := text[start]
	switch classes[c] {
	case classSpace, classWide:
		if end := l.spaceEnd(start); end > start {
			return l.emit(tokenSpace, end), nil
		}
		if c == '\n' {
			return l.emit(tokenNewline, start+1), nil
		}
		return l.unquoted(), nil
	case classSlash:
		if strings.HasPrefix(text[start:], "//") {
			l.skipComment()
			return l.next()
		}
		return l.unquoted(), nil
	case classForbidden:
		return l.symbol(c)
	}
	if c == '-' || '0' <= c && c <= '9' {
		return l.number()
	}
	return l.unquoted(), nil
}

// emit returns the text up to end as a token, and continues there.
func (l *lexer) emit(kind tokenKind, end int) token {
	t := token{kind: kind, start: l.at, end: end, text: l.src.text[l.at:end]}
	l.at = end
	return t
}

// skipComment skips the rest of the line. The newline that follows is a token,
// so next calls itself only once.
func (l *lexer) skipComment() {
	if end := strings.IndexByte(l.src.text[l.at:], '\n'); end >= 0 {
		l.at += end
	} else {
		l.at = len(l.src.text)
	}
}

// spaceEnd returns the end of the white space that starts at i, which ends
// before a newline.
func (l *lexer) spaceEnd(i int) int {
	text := l.src.text
	for i < len(text) {
		switch c := text[i]; classes[c] {
		case classSpace:
			if c == '\n' {
				return i
			}
			i++
		case classWide:
			r, size := utf8.DecodeRuneInString(text[i:])
			if !wideSpace(r) {
				return i
			}
			i += size
		default:
			return i
		}
	}
	return i
}

// symbol reads a token that starts with a character that unquoted strings
// cannot have.
func (l *lexer) symbol(c byte) (token, error) {
	kind := tokenEnd
	switch c {
	case '#':
		l.skipComment()
		return l.next()
	case '"':
		return l.quoted()
	case '$':
		return l.substitution()
	case '{':
		kind = tokenOpenBrace
	case '}':
		kind = tokenCloseBrace
	case '[':
		kind = tokenOpenBracket
	case ']':
		kind = tokenCloseBracket
	case ',':
		kind = tokenComma
	case ':', '=':
		kind = tokenSeparator
	case '+':
		if strings.HasPrefix(l.src.text[l.at:], "+=") {
			return l.emit(tokenPlusEquals, l.at+2), nil
		}
	}
	if kind == tokenEnd {
		return token{}, l.reserved(c)
	}
	return l.emit(kind, l.at+1), nil
}

func (l *lexer) reserved(c byte) error {
	return &SyntaxError{
		Pos:   l.src.position(l.at),
		Found: fmt.Sprintf("'%c' is reserved", c),
		Hint:  "put the key or value in double quotes",
	}
}

// substitution reads "${" or "${?".
func (l *lexer) substitution() (token, error) {
	rest := l.src.text[l.at:]
	switch {
	case strings.HasPrefix(rest, "${?"):
		return l.emit(tokenOptional, l.at+3), nil
	case strings.HasPrefix(rest, "${"):
		return l.emit(tokenSubstitution, l.at+2), nil
	}
	return token{}, l.reserved('$')
}

// unquoted reads an unquoted string. If it starts with true, false or null, that
// is the token, and the rest is another one: the parser concatenates them.
func (l *lexer) unquoted() token {
	text := l.src.text
	switch rest := text[l.at:]; rest[0] {
	case 't':
		if strings.HasPrefix(rest, "true") {
			return l.emit(tokenBoolean, l.at+4)
		}
	case 'f':
		if strings.HasPrefix(rest, "false") {
			return l.emit(tokenBoolean, l.at+5)
		}
	case 'n':
		if strings.HasPrefix(rest, "null") {
			return l.emit(tokenNull, l.at+4)
		}
	}
	return l.emit(tokenUnquoted, unquotedEnd(text, l.at))
}

// unquotedEnd returns the end of the unquoted string that starts at i.
func unquotedEnd(text string, i int) int {
	for i < len(text) {
		switch classes[text[i]] {
		case classPlain:
			i++
		case classSlash:
			if i+1 < len(text) && text[i+1] == '/' {
				return i
			}
			i++
		case classWide:
			r, size := utf8.DecodeRuneInString(text[i:])
			if wideSpace(r) {
				return i
			}
			i += size
		default:
			return i
		}
	}
	return i
}

// number reads all characters that a number may have. If together they are not
// a number, as in 1.2.3 or 2024-01-01, they are an unquoted string. A number has
// a plus sign only in its exponent.
func (l *lexer) number() (token, error) {
	text := l.src.text
	i := l.at + 1
	for i < len(text) {
		c := text[i]
		if '0' <= c && c <= '9' || c == '.' || c == '-' || c == 'e' || c == 'E' {
			i++
			continue
		}
		if c == '+' && (text[i-1] == 'e' || text[i-1] == 'E') && i+1 < len(text) && '0' <= text[i+1] && text[i+1] <= '9' {
			i++
			continue
		}
		break
	}
	if isNumber(text[l.at:i]) {
		return l.emit(tokenNumber, i), nil
	}
	if plus := strings.IndexByte(text[l.at:i], '+'); plus >= 0 {
		l.at += plus
		return token{}, l.reserved('+')
	}
	return l.emit(tokenUnquoted, i), nil
}

// isNumber reports whether s is a JSON number. As Java's Double.parseDouble, it
// also accepts leading zeros, and a decimal point with digits on one side only.
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, s := cutDigits(s)
	fraction := 0
	if strings.HasPrefix(s, ".") {
		fraction, s = cutDigits(s[1:])
	}
	if whole+fraction == 0 {
		return false
	}
	if s == "" {
		return true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	exponent, s := cutDigits(s)
	return exponent > 0 && s == ""
}

// cutDigits returns how many digits s starts with, and what follows them.
func cutDigits(s string) (digits int, rest string) {
	for digits < len(s) && '0' <= s[digits] && s[digits] <= '9' {
		digits++
	}
	return digits, s[digits:]
}

// quoted reads a string in " or """.
func (l *lexer) quoted() (token, error) {
	text := l.src.text
	if strings.HasPrefix(text[l.at:], `"""`) {
		return l.tripleQuoted()
	}
	for i := l.at + 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			t := l.emit(tokenQuoted, i+1)
			t.text = t.text[1 : len(t.text)-1]
			return t, nil
		case c == '\\':
			return l.escaped(i)
		case c < ' ':
			return token{}, l.controlCharacter(i)
		}
	}
	return token{}, l.unclosed(`"`)
}

// unclosed is the error of a string without an end. Its position is that of the
// opening quote.
func (l *lexer) unclosed(quote string) error {
	return &SyntaxError{
		Pos:   l.src.position(l.at),
		Found: "the string that starts here is not closed",
		Hint:  "add the closing " + quote,
	}
}

// controlCharacter is the error of a control character at i, within a quoted
// string. A line that ends there means that the closing quote is missing.
func (l *lexer) controlCharacter(i int) error {
	c := l.src.text[i]
	if c == '\n' || c == '\r' {
		return &SyntaxError{
			Pos:   l.src.position(l.at),
			Found: "the string that starts here is not closed on its line",
			Hint:  `add the closing ", or put a string of several lines in """`,
		}
	}
	return &SyntaxError{
		Pos:   l.src.position(i),
		Found: fmt.Sprintf("control character %q in a quoted string", rune(c)),
		Hint:  `write it as an escape sequence, or put the string in """`,
	}
}

// escaped reads a string in double quotes whose first backslash is at i.
func (l *lexer) escaped(i int) (token, error) {
	text := l.src.text
	var b strings.Builder
	b.WriteString(text[l.at+1 : i])
	for i < len(text) {
		switch c := text[i]; {
		case c == '"':
			t := l.emit(tokenQuoted, i+1)
			t.text = b.String()
			return t, nil
		case c == '\\':
			size, err := l.escape(i, &b)
			if err != nil {
				return token{}, err
			}
			i += size
		case c < ' ':
			return token{}, l.controlCharacter(i)
		default:
			b.WriteByte(c)
			i++
		}
	}
	return token{}, l.unclosed(`"`)
}

// escape decodes the escape sequence at i and returns its length.
func (l *lexer) escape(i int, b *strings.Builder) (int, error) {
	text := l.src.text
	if i+1 >= len(text) {
		return 0, l.unclosed(`"`)
	}
	if plain := strings.IndexByte(`"\/bfnrt`, text[i+1]); plain >= 0 {
		b.WriteByte("\"\\/\b\f\n\r\t"[plain])
		return 2, nil
	}
	if text[i+1] != 'u' {
		r, _ := utf8.DecodeRuneInString(text[i+1:])
		return 0, &SyntaxError{
			Pos:   l.src.position(i),
			Found: fmt.Sprintf("%q is not an escape sequence", `\`+string(r)),
			Hint:  `write a backslash in a quoted string as \\`,
		}
	}
	r, ok := hexRune(text, i)
	if !ok {
		return 0, &SyntaxError{Pos: l.src.position(i), Found: `\u without four hexadecimal digits`}
	}
	size := 6
	if utf16.IsSurrogate(r) {
		// A surrogate without its other half becomes U+FFFD, as in encoding/json.
		low, ok := hexRune(text, i+6)
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			r, size = pair, 12
		}
	}
	b.WriteRune(r)
	return size, nil
}

// hexRune decodes the sequence \uXXXX at i.
func hexRune(text string, i int) (rune, bool) {
	if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
		return 0, false
	}
	for _, c := range []byte(text[i+2 : i+6]) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return 0, false
		}
	}
	code, err := strconv.ParseUint(text[i+2:i+6], 16, 32)
	return rune(code), err == nil
}

// tripleQuoted reads a string without escape sequences. If it ends in more than
// three quotes, the last three close it and the others belong to it.
func (l *lexer) tripleQuoted() (token, error) {
	text := l.src.text
	end := strings.Index(text[l.at+3:], `"""`)
	if end < 0 {
		return token{}, l.unclosed(`"""`)
	}
	end += l.at + 6
	for end < len(text) && text[end] == '"' {
		end++
	}
	t := l.emit(tokenQuoted, end)
	t.text = t.text[3 : len(t.text)-3]
	return t, nil
}
