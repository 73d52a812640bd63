package virt

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/shell"
	"github.com/overcast-go/overcast/internal/urlparts"
	"github.com/overcast-go/overcast/provider"
	"libvirt.org/go/libvirt"
)

// ConnectError reports that no connection to a hypervisor could be opened, and
// which part failed. It is a [provider.ErrHypervisorNotReachable], except for
// [ErrPassword].
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

// Is makes an error of libvirt's a [provider.ErrHypervisorNotReachable].
func (e *ConnectError) Is(target error) bool {
	return target == provider.ErrHypervisorNotReachable && e.Err != ErrPassword
}

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

// open connects to a hypervisor. It never prompts.
func open(url string) (*libvirt.Connect, error) { return libvirt.NewConnect(withoutPrompt(url)) }

var (
	sshTransport  = regexp.MustCompile(`^[a-z]+\+ssh://`)
	noTTYIsChosen = regexp.MustCompile(`[?&;]no_tty=`)
)

// withoutPrompt adds the parameter no_tty to a URL with the transport ssh: the ssh
// program then fails instead of asking for a password or about a host key. libvirt's
// other transports never ask.
func withoutPrompt(url string) string {
	if !sshTransport.MatchString(url) || noTTYIsChosen.MatchString(url) {
		return url
	}
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	return strings.TrimRight(url, "?&") + separator + "no_tty=1"
}

// ErrPassword reports a connection URL with a password. libvirt takes none from a URL:
// it passes the login to ssh as a process argument, which all users of the machine see.
var ErrPassword = errors.New("the URL has a password, which every user of this machine would see in the arguments of ssh")

// PasswordHint says what to do about [ErrPassword].
const PasswordHint = "remove it and log in with a key (qemu+ssh://USER@MACHINE/system?keyfile=PATH, or ssh-add); for SASL, put the password in libvirt's auth.conf"

// queryStart begins the parameters. A password may have other question marks.
var queryStart = regexp.MustCompile(`\?\w+=`)

// CheckPassword fails with a *[ConnectError] for [ErrPassword] if a connection URL has a
// password in its login or parameters.
func CheckPassword(url string) error {
	_, rest, found := strings.Cut(url, "://")
	if !found {
		return nil // libvirt has no login without a scheme
	}
	authority, query := rest, ""
	if at := queryStart.FindStringIndex(rest); at != nil {
		authority, query = rest[:at[0]], rest[at[0]+1:]
	}
	login, _ := urlparts.SplitLogin(authority)
	_, secrets := redact.Redact(query)
	if len(secrets) == 0 && !strings.Contains(login, ":") {
		return nil
	}
	return &ConnectError{URL: redact.Text(url), Part: "login", Err: ErrPassword, Hint: PasswordHint}
}
