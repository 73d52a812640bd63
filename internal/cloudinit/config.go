package cloudinit

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Config is what cloud-init does in a clone. No verb of package fmt shows its
// content, because user data may contain secrets.
//
// # Precedence
//
// The user data is not changed. cloud-init receives it first, and then two parts
// of this package, which it merges by these rules:
//
//   - users: the entries "default" and User are put before those of UserData, and
//     cloud-init creates all of them. If UserData has an entry with the name of User,
//     cloud-init merges both entries: ssh_authorized_keys, sudo and lock_passwd are
//     those of User; other keys, for example groups and shell, are those of
//     UserData. The entry "default" is the default user of the image, to which a
//     top-level ssh_authorized_keys of UserData applies.
//   - ssh_keys and ssh_deletekeys, if HostKeys are given, and disable_root, if User
//     is root, replace those of UserData: the login depends on them.
//   - manage_etc_hosts is "localhost", unless UserData sets it: sudo is slow if
//     /etc/hosts does not contain the host name.
//   - All other keys, for example runcmd, packages and write_files, are those of
//     UserData.
//
// UserData must write users as a list. cloud-init cannot merge the deprecated forms:
// a mapping hides User, and a string is replaced.
//
// If UserData has several parts, cloud-init merges these first, by its defaults or
// by their own merge_how.
type Config struct {
	// InstanceID tells cloud-init that this is a first boot. Empty is a new random
	// one, see [NewInstanceID].
	InstanceID string
	// Hostname is the name of the clone, see [Hostname]. UserData may set another
	// one with hostname or fqdn.
	Hostname string
	// User is created for the login.
	User User
	// HostKeys replace all SSH host keys of the image. Without any, cloud-init
	// generates new ones.
	HostKeys []HostKey
	// UserData is what the test author gives to cloud-init: #cloud-config, a script
	// that starts with #!, any other format with a first line that cloud-init
	// knows, or a MIME message with several of these.
	UserData []byte
	// NetworkConfig is passed on to cloud-init. Without it, the first interface uses
	// DHCP.
	NetworkConfig []byte
}

// User is a user that logs in with an SSH key and may run all commands with sudo
// without a password. Its own password is locked.
type User struct {
	Name string
	// AuthorizedKeys are lines as in authorized_keys.
	AuthorizedKeys []string
}

// A ConfigError reports a field of a [Config] that cloud-init could not use.
type ConfigError struct {
	Field   string // as the configuration names it: "cloudInit.userData"
	Problem string // without secrets
}

func (e *ConfigError) Error() string { return e.Field + ": " + e.Problem }

// Format prints the host name only, for every verb: the rest may hold secrets.
func (c Config) Format(to fmt.State, _ rune) {
	fmt.Fprintf(to, "cloud-init configuration of %q", c.Hostname)
}

// GomegaString is the same for gomega, which would print the user data.
func (c Config) GomegaString() string { return fmt.Sprint(c) }

// NewInstanceID returns a random instance ID.
func NewInstanceID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return "overcast-" + hex.EncodeToString(id[:])
}

// maxHostname is how long a host name may be on Linux.
const maxHostname = 63

var notInHostnames = regexp.MustCompile(`[^a-z0-9]+`)

// Hostname returns the host name for a label: in lower case, at most 63 characters
// long, with a hyphen in place of other characters than letters and digits. It
// returns "clone" for a label without letters and digits.
func Hostname(label string) string {
	name := notInHostnames.ReplaceAllString(strings.ToLower(label), "-")
	name = strings.Trim(name[:min(len(name), maxHostname)], "-")
	if name == "" {
		return "clone"
	}
	return name
}

var (
	hostnames   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
	userNames   = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	instanceIDs = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
)

// Check fails with a [*ConfigError] if cloud-init could not use the configuration. It
// ignores that the instance ID or all login keys are missing.
func (c Config) Check() error {
	if c.InstanceID == "" {
		c.InstanceID = NewInstanceID()
	}
	if err := c.check(); err != nil {
		return err
	}
	if _, err := split(c.UserData); err != nil {
		return err
	}
	return checkYAML("cloudInit.networkConfig", c.NetworkConfig)
}

func (c *Config) check() error {
	switch {
	case !instanceIDs.MatchString(c.InstanceID):
		return &ConfigError{"instance ID", fmt.Sprintf("%q contains other characters than letters, digits and . _ -", c.InstanceID)}
	case !hostnames.MatchString(c.Hostname):
		return &ConfigError{"host name", fmt.Sprintf("%q is not a host name: use letters, digits and hyphens", c.Hostname)}
	case !userNames.MatchString(c.User.Name):
		return &ConfigError{"cloudInit.user", fmt.Sprintf("%q is not a user name: use up to 32 lower-case letters, digits, hyphens and underscores, and a letter first", c.User.Name)}
	}
	for n, line := range c.User.AuthorizedKeys {
		// The line is not quoted: it could be a private key.
		_, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(rest) > 0 {
			return &ConfigError{"cloudInit.authorizedKeys", fmt.Sprintf("entry %d is not a line of authorized_keys, as in: ssh-ed25519 AAAA... me@example.org", n+1)}
		}
	}
	return nil
}
