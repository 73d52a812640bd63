package hocon

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// A loader reads and parses the files of one document.
type loader struct {
	budget
	fsys       fs.FS // nil for the operating system's
	size       int   // bytes read
	includes   int
	missing    []*IncludeError
	unresolved int // number of substitutions and concatenations
}

// A file is a text to parse, and the include that leads to it.
type file struct {
	name     string
	text     string
	includer *file
	at       place // of the include statement in includer
}

// include parses an include statement and merges the fields of the files that
// it names into o (specification: "Include semantics: merging").
func (p *parser) include(o *object) error {
	at := p.here()
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.skipLines(); err != nil {
		return err
	}
	target, err := p.includeTarget()
	if err != nil {
		return err
	}
	target.at = at
	files, err := p.loader.find(p.file, target)
	if err != nil {
		return err
	}
	for _, f := range files {
		included, err := p.parseIncluded(f, target)
		if err != nil {
			return err
		}
		o.absorb(included.object)
	}
	return nil
}

// A target is what an include statement names.
type target struct {
	at       place  // of the statement
	name     string // as written
	kind     string // "", "file", "url" or "classpath"
	required bool
}

func (t *target) fail(reason string, err error) *IncludeError {
	return &IncludeError{Pos: t.at.position(), Name: t.name, Reason: reason, Err: err}
}

const includeForms = `a quoted file name, file("..."), or required(...) around one of them after include`

// includeTarget parses what follows "include" (specification: "Include
// syntax"). The lexer reads "file(" and the like as unquoted strings, and "))"
// as another.
func (p *parser) includeTarget() (*target, error) {
	t := &target{}
	open := 0
	for p.tok.kind == tokenUnquoted && p.tok.text != "" {
		form, rest, paren := strings.Cut(p.tok.text, "(")
		known := form == "required" && !t.required && t.kind == "" || t.kind == "" && slices.Contains([]string{"file", "url", "classpath"}, form)
		if !paren || !known {
			return nil, p.unexpected(includeForms, "")
		}
		if form == "required" {
			t.required = true
		} else {
			t.kind = form
		}
		open++
		p.lexer.at -= len(rest) // what follows the parenthesis is another token
		if err := p.advance(); err != nil {
			return nil, err
		}
		if err := p.skipSpace(); err != nil {
			return nil, err
		}
	}
	if p.tok.kind != tokenQuoted {
		return nil, p.unexpected(includeForms, "put a key that starts with include in double quotes")
	}
	t.name = p.tok.text
	if err := p.advance(); err != nil {
		return nil, err
	}
	return t, p.closeTarget(open)
}

// closeTarget takes the closing parentheses.
func (p *parser) closeTarget(open int) error {
	for ; open > 0; open-- {
		if err := p.skipSpace(); err != nil {
			return err
		}
		if p.tok.kind != tokenUnquoted || p.tok.text[0] != ')' {
			return p.unexpected("')'", "")
		}
		p.lexer.at = p.tok.start + 1
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
}

// parseIncluded parses a file that is included at the place of the parser.
func (p *parser) parseIncluded(f *file, t *target) (*node, error) {
	f.includer, f.at = p.file, t.at
	inner := &parser{loader: p.loader, file: f, depth: p.depth}
	inner.prefix = slices.Concat(p.prefix, p.path)
	root, err := p.loader.parse(f, inner)
	if err != nil {
		return nil, err
	}
	if p.inArray > 0 && inner.pending {
		return nil, t.fail("it has substitutions, which cannot be resolved within an array: include it outside the array", nil)
	}
	p.pending = p.pending || inner.pending
	return root, nil
}

// extensions are those of files that an include finds by a name without one.
// A later one is stronger.
var extensions = []string{".properties", ".json", ".conf"}

var url = regexp.MustCompile(`^(?i:https?|ftp|file|jar|mailto):`)

// find returns the files that an include statement names. If there are none, it
// notes that, or fails if one is required (specification: "Include semantics:
// missing files and required files", "Include semantics: file formats and
// extensions").
func (l *loader) find(from *file, t *target) ([]*file, error) {
	if l.includes++; l.includes > l.limits.Includes {
		return nil, &LimitError{Pos: t.at.position(), What: "include statements", Limit: int64(l.limits.Includes)}
	}
	switch {
	case t.kind == "url" || t.kind == "" && url.MatchString(t.name):
		return nil, t.fail("URLs are not supported: include a file", nil)
	case t.kind == "classpath":
		return nil, t.fail("class paths are not supported: include a file", nil)
	case t.name == "":
		return nil, t.fail("the name is empty: name a file", nil)
	}
	name := l.locate(from, t)
	names := []string{name}
	if !slices.ContainsFunc(extensions, func(e string) bool { return strings.HasSuffix(name, e) }) {
		names = []string{name + extensions[0], name + extensions[1], name + extensions[2]}
	}
	var files []*file
	for _, name := range names {
		f, err := l.open(name, from, t)
		if err != nil {
			return nil, err
		}
		if f != nil {
			files = append(files, f)
		}
	}
	if len(files) > 0 {
		return files, nil
	}
	missing := "there is no " + strings.Join(names, " or ")
	if t.required {
		return nil, t.fail("it is required, but "+missing, nil)
	}
	l.missing = append(l.missing, t.fail(missing, nil))
	return nil, nil
}

// locate returns the name of the file to open: relative to the including file,
// or with file() to the working directory (specification: "Include semantics:
// locating resources").
func (l *loader) locate(from *file, t *target) string {
	if l.fsys == nil {
		if t.kind == "file" || filepath.IsAbs(t.name) {
			return filepath.Clean(t.name)
		}
		return filepath.Join(filepath.Dir(from.name), t.name)
	}
	if t.kind == "file" || strings.HasPrefix(t.name, "/") {
		return path.Clean(strings.TrimLeft(t.name, "/"))
	}
	return path.Join(path.Dir(from.name), t.name)
}

// cycle returns the places of the includes that lead from the file of this name
// back to it. It returns nil if that file is not being parsed.
func (f *file) cycle(name string, at place) []Position {
	chain := []Position{at.position()}
	for ; f != nil; f = f.includer {
		if filepath.Clean(f.name) == name {
			slices.Reverse(chain)
			return chain
		}
		if f.includer != nil {
			chain = append(chain, f.at.position())
		}
	}
	return nil
}

// open returns nil for a file that does not exist.
func (l *loader) open(name string, from *file, t *target) (*file, error) {
	if l.fsys != nil && !fs.ValidPath(name) {
		return nil, t.fail("it is outside the file system of the configuration", nil)
	}
	if chain := from.cycle(name, t.at); chain != nil {
		return nil, &IncludeError{Pos: t.at.position(), Name: t.name, Reason: "the file includes itself", Chain: chain}
	}
	text, err := l.read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return nil, nil
	case err != nil:
		return nil, t.fail("it cannot be read", err)
	}
	return &file{name: name, text: text}, nil
}

// read reads a regular file. Others are an error: reading a pipe or a device
// may block.
func (l *loader) read(name string) (string, error) {
	stat, open := os.Stat, func(name string) (fs.File, error) { return os.Open(name) }
	if l.fsys != nil {
		stat, open = func(name string) (fs.FileInfo, error) { return fs.Stat(l.fsys, name) }, l.fsys.Open
	}
	info, err := stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	f, err := open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, int64(l.limits.Size-l.size)+1))
	return string(content), err
}

// parse parses a file in the format that the extension of its name says.
func (l *loader) parse(f *file, p *parser) (*node, error) {
	if err := l.canceled(); err != nil {
		return nil, err
	}
	src := &source{name: f.name, text: f.text}
	if l.size += len(f.text); l.size > l.limits.Size {
		return nil, &LimitError{Pos: src.position(0), What: "size of the configuration in bytes", Limit: int64(l.limits.Size)}
	}
	if err := checkUTF8(src); err != nil {
		return nil, err
	}
	p.lexer = lexer{src: src}
	switch {
	case strings.HasSuffix(f.name, ".properties"):
		return parseProperties(src, l)
	case strings.HasSuffix(f.name, ".json"):
		return parseJSON(src, p)
	}
	return p.parseRoot()
}

func checkUTF8(src *source) error {
	if utf8.ValidString(src.text) {
		return nil
	}
	for i, r := range src.text {
		if r == utf8.RuneError && !strings.HasPrefix(src.text[i:], string(utf8.RuneError)) {
			return &SyntaxError{Pos: src.position(i), Found: "the text is not valid UTF-8"}
		}
	}
	return nil
}

// parseJSON parses JSON with the parser of HOCON, of which it is a subset, and
// refuses everything else.
func parseJSON(src *source, p *parser) (*node, error) {
	at, err := checkJSON(src.text)
	if err == nil {
		return p.parseRoot()
	}
	inString := at < len(src.text) && (src.text[at] == '\n' || src.text[at] == '\r')
	if errors.Is(err, io.ErrUnexpectedEOF) || inString {
		// The parser's error names the brace or quote that is not closed.
		if _, unclosed := p.parseRoot(); unclosed != nil {
			return nil, unclosed
		}
	}
	return nil, &SyntaxError{Pos: src.position(at), Found: "not JSON", Hint: strings.TrimPrefix(err.Error(), "json: ")}
}

// checkJSON returns an error, and the offset of what causes it, unless the text
// is one JSON document.
func checkJSON(text string) (offset int, err error) {
	document := strings.TrimPrefix(text, "\uFEFF")
	mark := len(text) - len(document)
	decoder := json.NewDecoder(strings.NewReader(document))
	var raw json.RawMessage
	if err = decoder.Decode(&raw); err == nil {
		offset = int(decoder.InputOffset())
		if _, err = decoder.Token(); err == io.EOF {
			return 0, nil
		}
		return mark + offset, errors.New("there is text after the end of the document")
	}
	offset = int(decoder.InputOffset())
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		offset = max(int(syntax.Offset)-1, 0)
	}
	return mark + offset, err
}
