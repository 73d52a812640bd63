package hocon

import (
	"context"
	"io/fs"
	"os"
	"slices"
)

// A Document is a parsed configuration, included files among it, whose
// substitutions are not resolved. It does not change, and may be used by several
// goroutines.
type Document struct {
	root       *node
	unresolved int // number of substitutions and concatenations
	limits     Limits
	missing    []*IncludeError
}

// ParseOptions are optional settings of [Parse] and [ParseFile].
type ParseOptions struct {
	// FS is the file system that included files, and the file of ParseFile, are
	// read from. Nil is that of the operating system.
	FS fs.FS
	// Limits bound what parsing may cost, and resolving unless ResolveOptions
	// have limits.
	Limits Limits
}

func (o *ParseOptions) loader(ctx context.Context, name string) *loader {
	if o == nil {
		o = &ParseOptions{}
	}
	return &loader{fsys: o.FS, budget: budget{ctx: ctx, task: "parsing " + name, limits: o.Limits.orDefault()}}
}

// Parse parses a text. The name is used in positions; its folder is where
// relative includes start; and its extension selects the format: JSON for
// ".json", Java properties for ".properties", and HOCON for all others.
//
// Parse fails with *[SyntaxError]; *[IncludeError]; *[ValueError] if a value
// concatenates different types; *[LimitError]; or, if ctx is canceled, with an
// error that wraps the context's cause.
func Parse(ctx context.Context, name string, text []byte, opts *ParseOptions) (*Document, error) {
	return opts.loader(ctx, name).document(name, string(text))
}

// ParseFile parses a file. It fails as [Parse] does, or with the error of the
// file system if the file cannot be read.
func ParseFile(ctx context.Context, path string, opts *ParseOptions) (*Document, error) {
	l := opts.loader(ctx, path)
	text, err := l.read(path)
	if err != nil {
		return nil, err
	}
	return l.document(path, text)
}

func (l *loader) document(name, text string) (*Document, error) {
	f := &file{name: name, text: text}
	root, err := l.parse(f, &parser{loader: l, file: f})
	if err != nil {
		return nil, err
	}
	root.markConstant()
	return &Document{root: root, unresolved: l.unresolved, limits: l.limits, missing: l.missing}, nil
}

// WithFallback returns a document with the fields of both: where both have a
// value, that of d is used, and objects are merged, as if lower came before d in
// one file. Neither changes. A nil lower is an empty document.
func (d *Document) WithFallback(lower *Document) *Document {
	if lower == nil {
		return d
	}
	return &Document{
		root: mergedNode(lower.root, d.root), unresolved: lower.unresolved + d.unresolved,
		limits: d.limits, missing: slices.Concat(lower.missing, d.missing),
	}
}

// MissingIncludes returns the include statements that named no existing file,
// in the order of parsing. They are not errors unless they say required()
// (specification: "Include semantics: missing files and required files"), but
// may be mistakes that a program wants to report.
func (d *Document) MissingIncludes() []*IncludeError { return slices.Clone(d.missing) }

// ResolveOptions are optional settings of [Document.Resolve].
type ResolveOptions struct {
	// Properties are values that substitutions find before those of the
	// document, by their dotted paths: what system properties are on the JVM.
	Properties map[string]string
	// Env looks up the environment variables that are the fallback for
	// substitutions without a value. Nil is [os.LookupEnv].
	Env func(name string) (string, bool)
	// Limits bound what resolving may cost. The zero value means those of the
	// document.
	Limits Limits
}

// Resolve replaces all substitutions, and returns the root object. Each is
// looked up in the whole document.
//
// Resolve fails with *[UnresolvedError]; *[CycleError]; *[ValueError] if a value
// concatenates different types; *[LimitError]; or, if ctx is canceled, with an
// error that wraps the context's cause.
func (d *Document) Resolve(ctx context.Context, opts *ResolveOptions) (*Value, error) {
	if opts == nil {
		opts = &ResolveOptions{}
	}
	limits := opts.Limits
	if limits == (Limits{}) {
		limits = d.limits
	}
	env := opts.Env
	if env == nil {
		env = os.LookupEnv
	}
	r := newResolver(ctx, d.root, d.unresolved, limits.orDefault(), opts.Properties, env)
	root, err := r.run(d.root)
	if err != nil {
		return nil, err
	}
	return newValue(content{data: root}), nil
}
