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
// Passwords and passphrases are shown as ********: those in URLs, what is below
// keys whose names end in passphrase(s) or password(s), and the same wherever
// else it stands. Keys that end in password(s) do not count in a FILE that
// declares no host, is not called overcast.conf, and is not the one that
// OVERCAST_CONF names: such a document is printed as it is.
//
//	overcast ls [--json] [-c URL]...
//
// lists what overcast has made on the hypervisors that the configuration names,
// or at each URL, which is as virsh -c takes it: domains, volumes, whose they
// are, and what gc would do about them. Domains that Overcast for Java has made
// are listed, too.
//
//	overcast gc [--dry-run] [-c URL]...
//
// removes what no living run owns, and prints a line for each thing: clones and
// volumes whose process has ended, those that were kept for a person to look at
// included. What overcast has not made, and what a living process owns, is never
// touched; a process on another machine counts as alive until it has not renewed
// its clone's lease in time (ownerLease). --dry-run removes nothing.
//
//	overcast doctor [LABEL]
//
// checks all that the host LABEL relies on, or every host of the configuration:
// configuration, login, connection, /dev/kvm, base domain, permissions, disks,
// pool, network, and what the address is looked up by. It prints a line for each
// link of that chain, "ok" or "FAILED" first; a line that failed says how to
// mend it. What an earlier link keeps from being checked is left out. Overlays
// are made for a moment, and taken away again.
//
// Exit codes: 0; 1 for what has failed: for a configuration that is not right, with nothing on
// standard output and FILE:LINE:COL: MESSAGE on standard error; 2 for a
// command line that is not.
package main
