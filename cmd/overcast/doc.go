// Command overcast looks after the hosts that test suites declare.
//
//	overcast config [--json] [FILE | LABEL]
//
// prints the resolved configuration: the whole of it, the section of the host
// LABEL with the place that each value came from, or FILE alone, with nothing
// merged under it but the environment. An argument that names a file is a
// FILE. With --json it prints one JSON document.
//
// Passwords and passphrases are shown as ********, in URLs too.
//
// Exit codes: 0; 1 for a configuration that is not right, with nothing on
// standard output and FILE:LINE:COL: MESSAGE on standard error; 2 for a
// command line that is not.
package main
