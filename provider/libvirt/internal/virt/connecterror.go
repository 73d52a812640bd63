package virt

import (
	"fmt"
	"net/url"
	"regexp"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/shell"
)

// ConnectError reports that no connection to a hypervisor could be opened, and
// which part failed.
type ConnectError struct {
	URL  string // without secrets
	Part string // name, port, host key, login, certificate, socket permission, daemon, or "" if that is not known
	Hint string // what to do about it
	Err  error  // libvirt's
}

// Error names the hypervisor, the part, libvirt's message, and what to do.
func (e *ConnectError) Error() string {
	part := ""
	if e.Part != "" {
		part = e.Part + ": "
	}
	return fmt.Sprintf("connecting to %s: %s%v: %s", e.URL, part, e.Err, e.Hint)
}

// Unwrap returns libvirt's error.
func (e *ConnectError) Unwrap() error { return e.Err }

// connectFailures recognise the part that failed by the message: libvirt has one
// error code for all of them, and its message includes the standard error of ssh.
var connectFailures = []struct {
	message    *regexp.Regexp
	part, hint string
}{
	{regexp.MustCompile(`(?i)could not resolve|unable to resolve|name or service not known|name resolution`),
		"name", "check the name of the machine in libvirtURL, and that this machine can look it up (getent hosts NAME)"},
	{regexp.MustCompile(`(?i)host key|session host key`),
		"host key", ""}, // see hostKeyHint
	{regexp.MustCompile(`(?i)permission denied \(|authentication (failed|unavailable)|no agent|too many authentication failures`),
		"login", "libvirt does not prompt for a password: ssh must log in without one (ssh -o BatchMode=yes USER@MACHINE true), with a key that has no passphrase or that the ssh agent holds (ssh-add)"},
	{regexp.MustCompile(`(?i)certificate|x509|tls`),
		"certificate", "check the certificates of both sides (virt-pki-validate), or use qemu+ssh"},
	{regexp.MustCompile(`(?i)connect (to|socket).*permission denied`),
		"socket permission", "add the account that logs in to the group libvirt there (usermod -aG libvirt USER), then log in again"},
	{regexp.MustCompile(`(?i)connect socket to '/[^']*': (no such file|connection refused)`),
		"daemon", "libvirtd does not run there: start it (systemctl start libvirtd)"},
	{regexp.MustCompile(`(?i)connection refused|no route to host|network is unreachable|timed out`),
		"port", "check that the machine is up and listens on that port, and that no firewall blocks it"},
	{regexp.MustCompile(`(?i)not found|no such file`),
		"daemon", "check that libvirt is installed there, and its path or socket in libvirtURL"},
}

// connectError returns the *[ConnectError] for an error of libvirt's.
func connectError(connectionURL string, err error) error {
	shown := redact.Text(connectionURL)
	e := &ConnectError{URL: shown, Err: hideIn(err, connectionURL), Hint: "check libvirtURL (virsh -c '" + shown + "' uri)"}
	for _, f := range connectFailures {
		if f.message.MatchString(err.Error()) {
			e.Part, e.Hint = f.part, f.hint
			break
		}
	}
	if e.Part == "host key" {
		e.Hint = hostKeyHint(shown)
	}
	return e
}

// hostKeyHint says how to add the host key of the machine in a connection URL to
// known_hosts.
func hostKeyHint(shown string) string {
	machine, login, port, entry := "MACHINE", "USER@MACHINE", "", "MACHINE"
	if u, err := url.Parse(shown); err == nil && u.Hostname() != "" {
		machine, login, entry = u.Hostname(), u.Hostname(), u.Hostname()
		if name := u.User.Username(); name != "" {
			login = name + "@" + machine
		}
		if u.Port() != "" {
			port, entry = "-p "+u.Port()+" ", "["+machine+"]:"+u.Port()
		}
	}
	return fmt.Sprintf("compare the key of %s with the one that an administrator gives you: ssh-keyscan %s%s | ssh-keygen -lf -; then log in once: ssh %s%s; remove an old key with: ssh-keygen -R %s",
		machine, port, shell.Word(machine), port, shell.Word(login), shell.Word(entry))
}
