package virt

import (
	"errors"
	"regexp"
	"strings"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/urlparts"
)

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
