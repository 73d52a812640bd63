// Package ssh reaches machines over SSH: the lookup hosts that tell a guest's
// address, the hypervisors that stand in front of NAT networks, existing
// machines, and the guests themselves.
//
// A machine is named by a connection URL as Overcast users have them:
//
//	ssh://user[:password]@host[:port]?os=UNIX&connectionType=SCP&privateKeyFile=/home/me/.ssh/id_rsa&passphrase=bigsecret
//
// [ParseURL] turns it into a [Target], [Dial] connects to the target, and the
// [Client] runs commands, copies files and opens further connections through
// the machine. What the URL leaves open is looked up where the ssh command
// looks it up: ~/.ssh/config, ~/.ssh/known_hosts, the agent at SSH_AUTH_SOCK
// and the usual key files. The URL wins.
//
// # Host keys
//
// The host key of a long-lived machine is checked against known_hosts. A URL
// may name the key (hostKey=SHA256:...), another file (knownHosts=FILE), or
// say out loud that no check is wanted (hostKey=insecure). The key of a clone,
// which is not known beforehand, is pinned on first contact with a [Pin].
//
// # Failures
//
// [Dial] fails with a [*DialError] whose Phase says which part failed: the
// local settings, looking up the name, connecting, the handshake, the host
// key, or the login. Beneath it are [*KeyFileError], [*HostKeyUnknownError],
// [*HostKeyMismatchError] and [*LoginError] with what was found. No error and
// no formatting of a [Target] ever shows a password or passphrase.
//
// # Commands
//
// [Client.Run] runs any number of commands at once, on as many connections as
// that takes, and ends those whose context ends. Its documentation says what
// servers and guests have to offer for that, and what cannot be ended.
//
// # Half-open connections
//
// Each connection is kept alive with requests that the machine has to answer.
// When several in a row go unanswered the connection is closed, and whatever
// waits on it returns with [ErrConnectionLost].
package sshclient
