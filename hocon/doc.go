// Package hocon reads HOCON (Human-Optimized Config Object Notation), the
// format of overcast.conf: a superset of JSON with comments, includes, and
// substitutions. It follows the specification, HOCON.md of
// https://github.com/lightbend/config, except for what needs a JVM. Comments in
// the code name sections of the specification in quotes.
//
// # Reading a configuration
//
// [Parse] and [ParseFile] parse a text, with the files that it includes, into a
// [Document]. Substitutions such as ${user.home} are not resolved yet, so that
// several documents can be merged before; [Document.Resolve] then resolves them
// over the whole:
//
//	doc, err := hocon.ParseFile(ctx, "overcast.conf", nil)
//	doc = doc.WithFallback(defaults)
//	properties := map[string]string{"user.home": home}
//	root, err := doc.Resolve(ctx, &hocon.ResolveOptions{Properties: properties})
//	url, ok := root.Lookup("nat_host.SSH.url")
//
// Resolve returns the root as a [Value]. A Value knows the file, line and column
// where it was written, and converts its content: "30" to a number, 30 to a
// string, "2 minutes" to a duration. [Value.Decode] fills a struct, and reports
// all mistakes at once.
//
// # Syntax
//
// A file is an object; the braces around it are optional. A key is a path such
// as a.b."c.d", followed by = or :, which is optional before {. Commas or
// newlines separate fields and elements. Comments start with # or //. A later
// value of a key replaces the earlier one, but objects are merged.
//
// Adjacent values on a line are concatenated: strings and numbers, with the
// white space between them, to a string; arrays to an array; objects are merged.
// A string must be in double quotes if it contains one of
// $ " { } [ ] : = , + # ` ^ ? ! @ * & \ or //. Between """ and """ a string may
// have several lines, and quotes and backslashes without escapes.
//
// ${path} is replaced by the value at that path, wherever it is defined, or by
// the environment variable of that name. ${?path} may have no value. ${NAME[]}
// is an array of the environment variables NAME_0, NAME_1, and so on. A
// substitution for the key that is being defined means the previous value of the
// key, as in
//
//	path = ${path}":/usr/local/bin"
//	tags += kvm
//
// include "name" inserts the fields of the files name.properties, name.json and
// name.conf, as far as they exist, the last one strongest. A name with one of
// these extensions means that file. Names are relative to the including file;
// file("name") is relative to the working directory. [Document.MissingIncludes]
// lists includes without a file, which are an error only with required("name").
// URLs and classpath("name") are errors. Substitutions in an included file are
// looked up below the place of the include, then from the root.
//
// # Differences from the JVM
//
// Where the reference implementation differs from the specification, this
// package follows the specification: text after an object is an error; an
// integer may have any size; a value that a later one hides is never evaluated;
// an object may refer to its own fields even if it is merged with substitutions;
// the extension of an included file selects its format even if the include names
// it. Text that is not valid UTF-8 is an error.
//
// # Errors and limits
//
// All errors about a configuration implement [Error], and their messages start
// with the position. Their types tell the cause: [SyntaxError], [IncludeError],
// [UnresolvedError], [CycleError], [LimitError] or [ValueError]. [Limits] bound
// the depth, size and cost of a configuration, so that no input can exhaust
// memory, the stack or the processor.
package hocon
