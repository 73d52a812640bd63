// Command overcast looks after the hosts that test suites declare.
//
//	overcast config [--json] [FILE | LABEL]
//
// prints the resolved configuration: all of it, the section of the host LABEL,
// or FILE, which is resolved without other sources. Each value has a line with
// its position; --json prints one JSON document instead. An argument is a FILE if
// it contains a slash, ends in .conf, .json or .properties, or names a file but
// no host; otherwise it is a LABEL. Keys that are not set are not printed,
// although they have defaults. Include statements that name no existing file are
// noted on standard error: HOCON ignores them.
//
// Passwords and passphrases are printed as ********: in URLs, and everything
// below keys that end in passphrase(s) or password(s), wherever else the same
// text occurs. In a FILE that declares no host, is not named overcast.conf, and
// is not the one that OVERCAST_CONF names, keys that end in password(s) are not
// secret.
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
// checks everything that the host LABEL depends on, or every host of the
// configuration: configuration, login, connection, /dev/kvm, base domain,
// permissions, disks, pool, network, and the look-up of the address. It prints a
// line for each check, "ok", "WARN" or "FAILED" first; a line that is not "ok" says
// what to do. A check that depends on one that failed is left out. Overlays are
// created for a moment and removed again.
//
// Exit codes: 0; 1 for what has failed: for a configuration that is not right, with nothing on
// standard output and FILE:LINE:COL: MESSAGE on standard error; 2 for a
// command line that is not.
package main
