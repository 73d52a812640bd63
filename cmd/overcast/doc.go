// Command overcast looks after the hosts that test suites declare.
//
//	overcast config [--json] [FILE | LABEL]
//
// prints the resolved configuration: the whole of it, the section of the host
// LABEL with the place that each value came from, or FILE alone, with nothing
// merged under it but the environment. An argument with a slash in it, or that
// ends in .conf, .json or .properties, is a FILE; any other is a LABEL, or a
// FILE if there is no such host. With --json it prints one JSON document.
// What is printed is what is written: defaults are not filled in.
//
// Passwords and passphrases are shown as ********, in URLs too.
//
// Exit codes: 0; 1 for a configuration that is not right, with nothing on
// standard output and FILE:LINE:COL: MESSAGE on standard error; 2 for a
// command line that is not.
package main
