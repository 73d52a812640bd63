// Package hocon reads HOCON, the format of overcast.conf: JSON for people,
// with comments, includes, and values that refer to other values. It follows
// the specification (HOCON.md of lightbend/config) in all that needs no JVM,
// and a file means here what it means to the JVM's own implementation.
//
// # From a text to values
//
// Parse and ParseFile read a text, and what it includes, into a Document. A
// Document still has its substitutions, as ${user.home}; that allows putting
// several on top of each other before they are resolved, once, over the whole:
//
//	doc, err := hocon.ParseFile("overcast.conf", nil)
//	properties := map[string]string{"user.home": home}
//	root, err := doc.Resolve(&hocon.ResolveOptions{Properties: properties})
//	url, ok := root.Lookup("nat_host.SSH.url")
//
// Resolve gives the root as a Value. Values know the file, line and column
// that they came from (Position) and the path that led to them (Path). They
// convert when asked to, as the specification says: a string "30" to a number,
// 30 to a string, an object with the keys 0, 1, 2 to an array. Duration, Bytes
// and Period read numbers with units. Decode fills a struct, and finds every
// mistake at once.
//
// # What stands in a file
//
// A file is an object, with or without braces around it. A key is a path,
// a.b."c.d", followed by =, : or nothing before {. Fields and elements are
// separated by commas or new lines; comments start with # or //. A later value
// replaces an earlier one of the same key, but objects are merged.
//
// Values that stand next to each other on a line are one: strings, numbers and
// what lies between them become a string; arrays are appended to each other;
// objects are merged. A string needs quotes if it contains one of
// $ " { } [ ] : = , + # ` ^ ? ! @ * & \ or //, and it may be in """ to have
// quotes, backslashes and lines of its own.
//
// ${path} is the value of a path, wherever it is defined, or the environment
// variable of that name; ${?path} may have none. ${NAME[]} is an array of
// the variables NAME_0, NAME_1 and so on. A definition that refers to its own
// key means the value that the key had before, as in
//
//	path = ${path}":/usr/local/bin"
//	tags += kvm
//
// include "name" puts the fields of another file in its place: name.conf,
// name.json and name.properties, as far as they exist, the first the strongest;
// or, with one of these extensions, that file. Names are relative to the
// including file, but those in file("name") to the working directory, as on the
// JVM. A file that does not exist is as good as empty, unless it is
// required("name"). URLs and classpath("name") are refused. Substitutions in an
// included file are looked up from the place of the include, then from the
// root.
//
// # Where this is not the JVM
//
// The specification is followed where the reference implementation departs
// from it: text after an object is an error and not dropped; an integer of any
// size is a number; what a later value hides is not looked at, whatever it is;
// an object may refer to its own fields even where it is merged with
// substitutions; an included file is read as what its extension says, also
// where the include statement gives it. Text that is not valid UTF-8 is refused.
//
// # Errors and limits
//
// Every error is an Error: it has a Position, with which its message starts.
// Its type says what is wrong: SyntaxError, IncludeError, UnresolvedError,
// CycleError, LimitError or ValueError. Limits bound how deep, large and
// costly a configuration may be, so that none can exhaust memory or the stack.
package hocon
