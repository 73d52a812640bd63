// Package sshurl reads connection URLs.
package sshurl

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/editdistance"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/urlparts"
)

// ErrWindows is beneath the errors for URLs of Windows machines.
var ErrWindows = errors.New("windows machines are not supported: overcast reaches its machines with ssh:// and os=UNIX")

// ParseURL reads a connection URL:
//
//	ssh://user[:password]@host[:port]?os=UNIX&connectionType=SCP&privateKeyFile=...
//
// The parameters, all optional and each at most once:
//
//	os                       UNIX
//	connectionType           SCP (default), SFTP, SUDO, INTERACTIVE_SUDO or SU
//	privateKeyFile           key to log in with; a leading ~/ is the home directory
//	passphrase               of the key file
//	sudoUsername             who SUDO, INTERACTIVE_SUDO and SU become (default root); suUsername is the same
//	suPassword               what SU answers (default: the login password)
//	allocatePty              true, false or TERM:COLUMNS:ROWS[:WIDTH:HEIGHT]
//	connectionTimeoutMillis  bound on connecting and logging in
//	hostKey                  SHA256:... is the only key accepted; insecure accepts any
//	knownHosts               file to check the host key against
//
// Values are taken as they are written, so that paths, passwords and
// passphrases can be pasted: '/', '@', ':', '+', '#' and '?' stand for
// themselves, and so does a '%' that no two hexadecimal digits follow. A '+' is
// a plus, not a blank. These have to be escaped, and any other may be: '&' in a
// parameter (%26), '%' before two hexadecimal digits (%25), and in a password
// what looks like the first parameter ("?a=", %3Fa=). The user ends at the
// first ':', the password at the last '@' before the parameters.
//
// No error repeats the URL, because it may hold secrets.
func ParseURL(raw string) (Target, error) {
	rest, err := trimScheme(strings.TrimSpace(raw))
	if err != nil {
		return Target{}, err
	}
	authority, query := urlparts.SplitQuery(rest)
	t := Target{OS: "UNIX", ConnectionType: SCP}
	if err := t.parseAuthority(authority); err != nil {
		return Target{}, fmt.Errorf("connection URL: %w", err)
	}
	if err := t.parseQuery(query); err != nil {
		return Target{}, fmt.Errorf("connection URL for %s: %w", t.Host, err)
	}
	return t, nil
}

// ExpandHost puts addr in the place of {0} in the host of a connection URL,
// an IPv6 address in brackets. Other parts of the URL stay as they are.
func ExpandHost(raw, addr string) string {
	if ip, err := netip.ParseAddr(strings.Trim(addr, "[]")); err == nil && ip.Is6() {
		addr = "[" + strings.ReplaceAll(strings.Trim(addr, "[]"), "%", "%25") + "]"
	}
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return raw
	}
	authority, _ := urlparts.SplitQuery(rest)
	login, host := urlparts.SplitLogin(authority)
	tail := rest[len(login)+len(host):]
	for _, hole := range []string{"[{0}]", "{0}"} {
		if strings.Contains(host, hole) {
			host = strings.Replace(host, hole, addr, 1)
			break
		}
	}
	return scheme + "://" + login + host + tail
}

var schemePattern = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)

func trimScheme(raw string) (string, error) {
	m := schemePattern.FindStringSubmatch(raw)
	if m == nil {
		return "", errors.New("connection URL: it must begin with ssh://")
	}
	switch scheme := strings.ToLower(m[1]); scheme {
	case "ssh":
		return raw[len(m[0]):], nil
	case "cifs", "smb", "telnet", "winrm":
		return "", fmt.Errorf("connection URL with %s://: %w", scheme, ErrWindows)
	default:
		return "", fmt.Errorf("connection URL with %s://: only ssh:// is supported", scheme)
	}
}

func (t *Target) parseAuthority(authority string) error {
	login, host := urlparts.SplitLogin(authority)
	if login != "" {
		user, password, hasPassword := strings.Cut(strings.TrimSuffix(login, "@"), ":")
		t.User = urlparts.Unescape(user)
		if hasPassword {
			t.password = redact.NewSecret(urlparts.Unescape(password))
		}
		if t.User == "" {
			return errors.New("the user before '@' is empty: leave out the '@' to use your own name")
		}
	}
	// What follows is not repeated in errors: when the '@' was forgotten it is
	// the password.
	host = strings.TrimSuffix(host, "/")
	host, port, err := splitPort(host)
	if err != nil {
		return err
	}
	t.Host, t.Port = urlparts.Unescape(host), port
	return checkHost(t.Host)
}

func splitPort(hostPort string) (host string, port int, err error) {
	host, tail := hostPort, ""
	if strings.HasPrefix(hostPort, "[") {
		end := strings.IndexByte(hostPort, ']')
		if end < 0 {
			return "", 0, errors.New("the host begins with '[' but has no ']'")
		}
		host, tail = hostPort[1:end], hostPort[end+1:]
		if tail != "" && tail[0] != ':' {
			return "", 0, errors.New("only a port may follow the ']' of the host")
		}
	} else if strings.Count(hostPort, ":") > 1 {
		return "", 0, errors.New("an IPv6 address must be in brackets, as in ssh://user@[::1]:22")
	} else if colon := strings.IndexByte(hostPort, ':'); colon >= 0 {
		host, tail = hostPort[:colon], hostPort[colon:]
	}
	if tail == "" {
		return host, 0, nil
	}
	port, err = strconv.Atoi(tail[1:])
	if err != nil || port < 1 || port > 65535 {
		return "", 0, errors.New("what follows ':' after the host is not a port from 1 to 65535 (is an '@' missing?)")
	}
	return host, port, nil
}

var hostPattern = regexp.MustCompile(`^[\pL\pN._-]+$`)

func checkHost(host string) error {
	switch {
	case host == "":
		return errors.New("the host is missing: write ssh://user@host")
	case strings.Contains(host, "{0}"):
		return errors.New("the host is still {0}: replace {0} with an address")
	case strings.HasPrefix(host, "-"):
		return errors.New("the host begins with '-'")
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsValid() {
		return nil
	}
	if !hostPattern.MatchString(host) {
		return errors.New("the host holds characters that no host name has (a path is not allowed after it)")
	}
	return nil
}

// setters read one parameter each.
var setters = map[string]func(t *Target, value string) error{
	"os":                      setOS,
	"connectionType":          setConnectionType,
	"privateKeyFile":          func(t *Target, v string) error { t.PrivateKeyFile = v; return nil },
	"passphrase":              func(t *Target, v string) error { t.passphrase = redact.NewSecret(v); return nil },
	"sudoUsername":            setSudoUsername,
	"suUsername":              setSudoUsername,
	"suPassword":              func(t *Target, v string) error { t.suPassword = redact.NewSecret(v); return nil },
	"allocatePty":             setPty,
	"connectionTimeoutMillis": setTimeout,
	"hostKey":                 setHostKey,
	"knownHosts":              func(t *Target, v string) error { t.KnownHosts = v; return nil },
}

func (t *Target) parseQuery(query string) error {
	if query == "" {
		return nil
	}
	seen := map[string]bool{}
	for i, pair := range strings.Split(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		set, known := setters[name]
		if !known {
			return unknownParameter(i+1, name)
		}
		if seen[name] {
			return fmt.Errorf("parameter %s is given twice", name)
		}
		seen[name] = true
		if err := set(t, urlparts.Unescape(value)); err != nil {
			return fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	if t.HostKey != "" && t.KnownHosts != "" {
		return errors.New("parameters hostKey and knownHosts: give one of them, not both")
	}
	return nil
}

// unknownParameter repeats a name only when it resembles a known one:
// otherwise it may be the rest of a passphrase with an '&' in it.
func unknownParameter(position int, name string) error {
	known := make([]string, 0, len(setters))
	for k := range setters {
		known = append(known, k)
	}
	slices.Sort(known)
	if near := editdistance.Nearest(name, known, max(1, len(name)/4)); near != "" {
		return fmt.Errorf("unknown parameter %q: did you mean %s?", name, near)
	}
	return fmt.Errorf("parameter number %d is unknown; the known ones are %s (an '&' within a value is written %%26)",
		position, strings.Join(known, ", "))
}

func setOS(t *Target, v string) error {
	switch {
	case strings.EqualFold(v, "WINDOWS"):
		return ErrWindows
	case v != "UNIX":
		return fmt.Errorf("%q is not supported: it must be UNIX", v)
	}
	t.OS = v
	return nil
}

func setConnectionType(t *Target, v string) error {
	c := ConnectionType(v)
	switch {
	case slices.Contains(connectionTypes, c):
		t.ConnectionType = c
		return nil
	case v == "SFTP_CYGWIN" || v == "SFTP_WINSSHD" || v == "SFTP_OPENSSHD":
		return ErrWindows
	}
	return fmt.Errorf("%q is not allowed: it must be SCP, SFTP, SUDO, INTERACTIVE_SUDO or SU", v)
}

func setSudoUsername(t *Target, v string) error {
	if v == "" || strings.HasPrefix(v, "-") || strings.ContainsAny(v, " \t\n\x00") {
		return errors.New("it is not a user name")
	}
	t.SudoUsername = v
	return nil
}

var ptyPattern = regexp.MustCompile(`^([\w-]+):(\d{1,4}):(\d{1,4})(?::\d+:\d+)?$`)

func setPty(t *Target, v string) error {
	switch v {
	case "true":
		t.AllocatePty = DefaultPty
		return nil
	case "false", "":
		t.AllocatePty = Pty{}
		return nil
	}
	m := ptyPattern.FindStringSubmatch(v)
	if m == nil {
		return fmt.Errorf("%q is not allowed: it must be true, false or TERM:COLUMNS:ROWS:WIDTH:HEIGHT", v)
	}
	columns, _ := strconv.Atoi(m[2])
	rows, _ := strconv.Atoi(m[3])
	t.AllocatePty = Pty{Term: m[1], Columns: columns, Rows: rows}
	return nil
}

func setTimeout(t *Target, v string) error {
	ms, err := strconv.ParseInt(v, 10, 32)
	if err != nil || ms <= 0 {
		return fmt.Errorf("%q is not a positive number of milliseconds", v)
	}
	t.Timeout = time.Duration(ms) * time.Millisecond
	return nil
}

var fingerprintPattern = regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{43}=?$`)

func setHostKey(t *Target, v string) error {
	if v != Insecure && !fingerprintPattern.MatchString(v) {
		return fmt.Errorf("%q is not allowed: it must be insecure, or a fingerprint as `ssh-keygen -lf` prints it: SHA256: and 43 characters", v)
	}
	t.HostKey = strings.TrimSuffix(v, "=")
	return nil
}
