package hocon

import (
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

// A loader finds and reads the files of one document.
type loader struct {
	fsys     fs.FS // nil: the operating system's
	limits   Limits
	size     int // bytes read so far
	includes int

	fieldMaker
	nodes []node // made in advance
	made  int    // nodes, those in advance included
}

// node makes nodes by the hundred, which is less work than one by one.
func (l *loader) node(at place) (*node, error) {
	if len(l.nodes) == 0 {
		if l.made += nodesAtOnce; l.made > l.limits.Values {
			return nil, &LimitError{Pos: at.position(), What: "values", Limit: int64(l.limits.Values)}
		}
		l.nodes = make([]node, nodesAtOnce)
	}
	n := &l.nodes[0]
	n.place = at
	l.nodes = l.nodes[1:]
	return n, nil
}

const nodesAtOnce = 128

// A file is a text to parse, and how the parser came to it.
type file struct {
	name     string
	text     string
	includer *file
	at       place // of the include statement in includer
}

var extensions = []string{".properties", ".json", ".conf"} // the later win

var url = regexp.MustCompile(`^(?i:https?|ftp|file|jar|mailto):`)

// find gives the files that an include statement means, none if there are
// none and none is required.
func (l *loader) find(from *file, t *target) ([]*file, error) {
	switch {
	case t.kind == "url" || t.kind == "" && url.MatchString(t.name):
		return nil, t.fail("it is a URL, and a configuration must not depend on what a network says today; include a file", nil)
	case t.kind == "classpath":
		return nil, t.fail(`there is no class path outside of the JVM; include a file`, nil)
	case t.name == "":
		return nil, t.fail("the name is empty", nil)
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
	if len(files) == 0 && t.required {
		return nil, t.fail("it is required, and there is no "+strings.Join(names, " or "), nil)
	}
	return files, nil
}

// locate makes the name that is opened of the one that is written: relative to
// the including file, but with file() to the working directory.
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

// open gives nil for a file that does not exist.
func (l *loader) open(name string, from *file, t *target) (*file, error) {
	if l.fsys != nil && !fs.ValidPath(name) {
		return nil, t.fail("it lies outside of the file system that the configuration is read from", nil)
	}
	if chain := from.circle(name, t.at); chain != nil {
		return nil, &IncludeError{Pos: t.at.position(), Name: t.name, Reason: "the file includes itself", Chain: chain}
	}
	text, err := l.read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return nil, nil
	case err != nil:
		if limit := (*LimitError)(nil); errors.As(err, &limit) {
			return nil, err
		}
		return nil, t.fail("it cannot be read", err)
	}
	if l.includes++; l.includes > l.limits.Includes {
		return nil, &LimitError{Pos: t.at.position(), What: "included files", Limit: int64(l.limits.Includes)}
	}
	return &file{name: name, text: text}, nil
}

// circle gives the places of the includes that lead from the file of this name
// back to it, or nil if it is not being parsed.
func (f *file) circle(name string, at place) []Position {
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

// read reads a regular file: a pipe or a device could keep us for ever.
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

// parse parses a file by the extension of its name.
func (l *loader) parse(f *file, p *parser) (*node, error) {
	src := &source{name: f.name, text: f.text}
	if l.size += len(f.text); l.size > l.limits.Size {
		return nil, &LimitError{Pos: src.position(0), What: "size of the configuration in bytes", Limit: int64(l.limits.Size)}
	}
	p.lexer = lexer{src: src}
	switch {
	case strings.HasSuffix(f.name, ".properties"):
		return parseProperties(src, l.limits)
	case strings.HasSuffix(f.name, ".json"):
		if err := checkJSON(src); err != nil {
			return nil, err
		}
	}
	if !utf8.ValidString(f.text) {
		return nil, invalidUTF8(src)
	}
	return p.parseRoot()
}

func invalidUTF8(src *source) error {
	for i, r := range src.text {
		if r == utf8.RuneError && !strings.HasPrefix(src.text[i:], string(utf8.RuneError)) {
			return &SyntaxError{Pos: src.position(i), Found: "the text is not valid UTF-8"}
		}
	}
	return nil
}
