package sshurl

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/urlparts"
)

// A ConnectionType says how commands and files get to the machine, in
// Overthere's words.
type ConnectionType string

// The connection types.
const (
	// SCP runs commands as the login user; files go by SFTP where the machine
	// has it, and through its shell where it has not.
	SCP ConnectionType = "SCP"
	// SFTP is SCP without the shell: files go by SFTP or not at all.
	SFTP ConnectionType = "SFTP"
	// SUDO runs everything with sudo, which must not ask for a password.
	SUDO ConnectionType = "SUDO"
	// InteractiveSudo runs everything with sudo and answers its prompt with
	// the login password.
	InteractiveSudo ConnectionType = "INTERACTIVE_SUDO"
	// SU runs everything with su and answers its prompt with suPassword, or
	// with the login password where that is not given.
	SU ConnectionType = "SU"
)

var connectionTypes = []ConnectionType{SCP, SFTP, SUDO, InteractiveSudo, SU}

// Elevates reports whether commands run as another user than the login user.
func (c ConnectionType) Elevates() bool {
	return c == SUDO || c == InteractiveSudo || c == SU
}

// Insecure is the value of hostKey that accepts any key.
const Insecure = "insecure"

// DefaultTimeout bounds connecting and logging in where the URL has no
// connectionTimeoutMillis.
const DefaultTimeout = 30 * time.Second

// LoginTimeout limits connecting and logging in.
func (t Target) LoginTimeout() time.Duration { return cmp.Or(t.Timeout, DefaultTimeout) }

// A Pty is a terminal to run commands on. The zero value is none.
type Pty struct {
	Term          string
	Columns, Rows int
}

// DefaultPty is the terminal that allocatePty=true means.
var DefaultPty = Pty{Term: "vt220", Columns: 80, Rows: 24}

// String is the form that allocatePty takes.
func (p Pty) String() string {
	if p == (Pty{}) {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d:0:0", p.Term, p.Columns, p.Rows)
}

// A Target is a parsed connection URL. The zero value of a field means that
// the URL does not say.
type Target struct {
	User           string         // login name; else from ~/.ssh/config, else the user of this process
	Host           string         // name or address, IPv6 without brackets
	Port           int            // else from ~/.ssh/config, else 22
	OS             string         // UNIX, the only one
	ConnectionType ConnectionType // SCP unless the URL says otherwise
	PrivateKeyFile string         // key to log in with
	SudoUsername   string         // user that SUDO, INTERACTIVE_SUDO and SU run commands as; root unless the URL says otherwise
	AllocatePty    Pty            // terminal for commands
	Timeout        time.Duration  // for connecting and logging in; DefaultTimeout if zero
	HostKey        string         // SHA256:... or insecure
	KnownHosts     string         // file to check the host key against

	password   redact.Secret
	passphrase redact.Secret
	suPassword redact.Secret
}

// Password is the login password.
func (t Target) Password() redact.Secret { return t.password }

// Passphrase is the passphrase of the key files.
func (t Target) Passphrase() redact.Secret { return t.passphrase }

// SuPassword is the password that su is answered with, or the login password if
// there is none.
func (t Target) SuPassword() redact.Secret {
	if t.suPassword.IsSet() {
		return t.suPassword
	}
	return t.password
}

// WithPassword is t with another login password.
func (t Target) WithPassword(password string) Target {
	t.password = redact.NewSecret(password)
	return t
}

// WithPassphrase is t with another passphrase for its key files.
func (t Target) WithPassphrase(passphrase string) Target {
	t.passphrase = redact.NewSecret(passphrase)
	return t
}

// String is t as a connection URL, each secret shown as ********.
func (t Target) String() string {
	var b strings.Builder
	b.WriteString("ssh://")
	if t.User != "" || t.password.IsSet() {
		b.WriteString(urlparts.Escape(t.User))
		if t.password.IsSet() {
			b.WriteString(":" + redact.Mask)
		}
		b.WriteByte('@')
	}
	b.WriteString(t.hostPort())
	sep := "?"
	for _, p := range t.parameters() {
		if p.value != "" {
			b.WriteString(sep + p.name + "=" + p.value)
			sep = "&"
		}
	}
	return b.String()
}

// Format keeps every verb, %+v and %#v included, to what String shows.
func (t Target) Format(f fmt.State, verb rune) {
	if verb == 'q' {
		fmt.Fprintf(f, "%q", t.String())
		return
	}
	fmt.Fprint(f, t.String())
}

func (t Target) hostPort() string {
	host := t.Host
	if strings.Contains(host, ":") {
		host = "[" + strings.ReplaceAll(host, "%", "%25") + "]"
	}
	if t.Port != 0 {
		host += ":" + strconv.Itoa(t.Port)
	}
	return host
}

// Addr is what to connect to.
func (t Target) Addr() string {
	port := t.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(t.Host, strconv.Itoa(port))
}

type parameter struct{ name, value string }

func (t Target) parameters() []parameter {
	timeout := ""
	if t.Timeout != 0 {
		timeout = strconv.FormatInt(t.Timeout.Milliseconds(), 10)
	}
	return []parameter{
		{"os", t.OS},
		{"connectionType", string(t.ConnectionType)},
		{"privateKeyFile", urlparts.Escape(t.PrivateKeyFile)},
		{"passphrase", t.passphrase.String()},
		{"sudoUsername", urlparts.Escape(t.SudoUsername)},
		{"suPassword", t.suPassword.String()},
		{"allocatePty", t.AllocatePty.String()},
		{"connectionTimeoutMillis", timeout},
		{"hostKey", t.HostKey},
		{"knownHosts", urlparts.Escape(t.KnownHosts)},
	}
}

// Become is who an elevated command runs as.
func (t Target) Become() string {
	if t.SudoUsername == "" {
		return "root"
	}
	return t.SudoUsername
}
