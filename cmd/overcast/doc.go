// Command overcast looks after the hosts that test suites declare in overcast.conf.
//
//	overcast init [LABEL] [--yes]             write a first overcast.conf and a first test
//	overcast config [--json] [FILE | LABEL]   print the resolved configuration
//	overcast doctor [LABEL]...                check what hosts depend on
//	overcast up LABEL... [--for DURATION]     set up hosts that stay until overcast down
//	overcast down [LABEL]...                  remove them
//	overcast ssh LABEL [-- CMD]               log in to a running host
//	overcast ssh-config LABEL...              print an ssh configuration for running hosts
//	overcast cp SOURCE TARGET                 copy files to or from LABEL:PATH
//	overcast console LABEL                    open the serial console
//	overcast screenshot LABEL [-o FILE]       save the screen
//	overcast ls [--json] [-c URL]...          list what overcast has created
//	overcast gc [LABEL]... [--dry-run]        remove what no living run owns
//	overcast progress                         ask running tests for a progress report
//	overcast version                          print the version
//	overcast completion SHELL                 print a completion script
//
// overcast COMMAND --help describes a command and has examples.
//
// # Secrets
//
// Passwords and passphrases are printed as ********: those in URLs, and everything
// below keys that end in passphrase(s) or password(s), wherever else the same
// text occurs. In a FILE that declares no host, is not named overcast.conf, and
// is not the one that OVERCAST_CONF names, keys that end in password(s) are not
// secret.
//
// # Exit codes
//
// 0; 1 if something failed; 2 for an invalid command line. With an invalid
// configuration, nothing is printed on standard output, and FILE:LINE:COL: MESSAGE
// on standard error.
package main
