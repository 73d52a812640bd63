package hocon

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// A Document is a configuration as it was written: included files are in it,
// substitutions are not resolved yet. It does not change any more, and may be
// used by several goroutines.
type Document struct {
	root   *node
	limits Limits
}

// ParseOptions say how to parse; nil stands for the zero value.
type ParseOptions struct {
	// FS is where included files are looked for, and the file of ParseFile.
	// Nil is the file system of the operating system.
	FS fs.FS
	// Limits of the parser.
	Limits Limits
}

func (o *ParseOptions) loader() *loader {
	if o == nil {
		o = &ParseOptions{}
	}
	return &loader{fsys: o.FS, limits: o.Limits.orDefault(), fieldMaker: fieldMaker{owner: &owner{}}}
}

// Parse parses a text. The name stands in positions, its folder is where
// relative includes start, and its extension says whether the text must be
// JSON (".json") or Java properties (".properties"); all else is HOCON.
//
// It fails with *SyntaxError, *IncludeError, *ValueError (parts of different
// types are concatenated) or *LimitError.
func Parse(name string, src []byte, opts *ParseOptions) (*Document, error) {
	return parseText(opts.loader(), name, string(src))
}

// ParseFile parses a file. It fails as Parse does, or with the error of the
// file system if the file cannot be read.
func ParseFile(path string, opts *ParseOptions) (*Document, error) {
	l := opts.loader()
	text, err := l.read(path)
	if err != nil {
		return nil, err
	}
	return parseText(l, path, text)
}

func parseText(l *loader, name, text string) (*Document, error) {
	f := &file{name: name, text: text}
	root, err := l.parse(f, &parser{loader: l, file: f})
	if err != nil {
		return nil, err
	}
	root.close()
	return &Document{root: root, limits: l.limits}, nil
}

// FromMap makes a document of properties, as the JVM has them: the keys are
// paths, their elements separated by dots, and all values are strings. If one
// key has a value and there are keys below it, those win. The name stands for
// the file in positions, which have no line.
func FromMap(name string, m map[string]string) *Document {
	src := &source{name: name}
	var all []property
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, property{place: place{src, -1}, key: key, value: m[key]})
	}
	limits := Limits{}.orDefault()
	for key := range m {
		limits.Depth = max(limits.Depth, strings.Count(key, ".")+1)
	}
	root, err := propertyTree(src, all, limits)
	if err != nil {
		panic(err) // the limit was made to fit
	}
	root.offset = -1
	return &Document{root: root, limits: limits}
}

// WithFallback is d with lower below it: what both have is d's, and objects
// are merged, just as if lower stood before d in one file. Neither changes.
func (d *Document) WithFallback(lower *Document) *Document {
	if lower == nil {
		return d
	}
	root := *d.root
	root.closed = d.root.closed && lower.root.closed
	root.more = &more{object: merged(lower.root.object, d.root.object)}
	return &Document{root: &root, limits: d.limits}
}
