// Package sshclient logs in to machines over SSH: to guests and existing machines, to
// the machines on which the address of a guest is looked up, and to hypervisors
// through which a guest is reached.
//
// A machine is named by a connection URL:
//
//	ssh://user[:password]@host[:port]?os=UNIX&connectionType=SCP&privateKeyFile=/home/me/.ssh/id_rsa&passphrase=bigsecret
//
// Package sshurl parses it, [Dial] connects, and the [Client] runs commands and opens
// connections through the machine; package transfer copies files. The rest comes from
// the sources of the ssh command: ~/.ssh/config, ~/.ssh/known_hosts, the agent at
// SSH_AUTH_SOCK and the default key files. The URL takes precedence. [Resolve]
// evaluates these sources once for any number of attempts.
//
// # Host keys
//
// The host key of a long-lived machine is checked against known_hosts. A URL
// may name the key (hostKey=SHA256:...) or another file (knownHosts=FILE), or turn
// the check off (hostKey=insecure). If the key of a clone is not known before its
// first login, that login pins it: see Pin in package hostkey.
//
// # Failures
//
// [Dial] fails with a [*DialError] whose Phase says which part failed: the
// local settings, looking up the name, connecting, the handshake, the host
// key, or the login. It wraps the errors of packages credentials and hostkey, and
// [*LoginError]. No error and no formatting of a target shows a password or
// passphrase.
//
// # Commands
//
// [Client.Run] runs any number of commands at the same time, on several connections
// if needed, and ends the commands whose context ends.
//
// # Half-open connections
//
// The client sends keepalive requests on each connection. After several requests
// without an answer it closes the connection, and pending operations fail with
// [ErrConnectionLost].
package sshclient
