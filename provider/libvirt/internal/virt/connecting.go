package virt

import (
	"fmt"
	"regexp"
)

// ConnectError says which part of the way to a hypervisor failed.
type ConnectError struct {
	URL  string // without secrets
	Part string // name, port, host key, login, certificate, socket permission, daemon, or "" if that is not known
	Mend string // what to do about it
	Err  error  // what libvirt said
}

// Error names the hypervisor, the part, what libvirt said, and what to do.
func (e *ConnectError) Error() string {
	part := ""
	if e.Part != "" {
		part = e.Part + ": "
	}
	return fmt.Sprintf("connecting to %s: %s%v: %s", e.URL, part, e.Err, e.Mend)
}

// Unwrap gives libvirt's error.
func (e *ConnectError) Unwrap() error { return e.Err }

// connectFailures are the words by which parts of the way fail. libvirt has one
// code for all of them, and hands on what ssh says on its standard error.
var connectFailures = []struct {
	said       *regexp.Regexp
	part, mend string
}{
	{regexp.MustCompile(`(?i)could not resolve|unable to resolve|name or service not known|name resolution`),
		"name", "check the name of the machine in libvirtURL, and that this machine can look it up (getent hosts NAME)"},
	{regexp.MustCompile(`(?i)host key|session host key`),
		"host key", "log in once by hand and compare the key (ssh USER@MACHINE), or take the old one out of known_hosts (ssh-keygen -R MACHINE)"},
	{regexp.MustCompile(`(?i)permission denied \(|authentication (failed|unavailable)|no agent|too many authentication failures`),
		"login", "libvirt asks nobody for a password: have ssh log in without a question (ssh -o BatchMode=yes USER@MACHINE true), by a key without a passphrase or one that the ssh agent has (ssh-add)"},
	{regexp.MustCompile(`(?i)certificate|x509|tls`),
		"certificate", "check the certificates of both sides (virt-pki-validate), or use qemu+ssh"},
	{regexp.MustCompile(`(?i)connect (to|socket).*permission denied`),
		"socket permission", "have the account that logs in join the group libvirt there (usermod -aG libvirt USER), and log in anew"},
	{regexp.MustCompile(`(?i)connect socket to '/[^']*': (no such file|connection refused)`),
		"daemon", "libvirtd does not run there: start it (systemctl start libvirtd)"},
	{regexp.MustCompile(`(?i)connection refused|no route to host|network is unreachable|timed out`),
		"port", "check that the machine is up and listens at that port, and that no firewall is in between"},
	{regexp.MustCompile(`(?i)not found|no such file`),
		"daemon", "check that libvirt is installed there, and its path or socket in libvirtURL"},
}

// connectError explains why there is no connection.
func connectError(url string, err error) error {
	shown := RedactURL(url)
	e := &ConnectError{URL: shown, Err: StripCodes(err), Mend: "check libvirtURL (virsh -c '" + shown + "' uri tells)"}
	for _, f := range connectFailures {
		if f.said.MatchString(err.Error()) {
			e.Part, e.Mend = f.part, f.mend
			break
		}
	}
	return e
}
