package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// An endpoint is a Target with everything filled in that the URL left open.
type endpoint struct {
	Target
	identityFiles  []string // of ~/.ssh/config
	defaultFiles   []string // the usual ones, when nothing else is named
	identitiesOnly bool
	agent          string   // IdentityAgent: where the agent listens, if not where the options say
	jumps          []string // ProxyJump, nearest first
	hostKeys       HostKeys
}

// settings is what this machine says about connections.
type settings struct {
	home   string
	config *ssh_config.Config
	file   string
}

func readSettings(opts *Options) (*settings, error) {
	s := &settings{home: opts.Home, file: opts.ConfigFile, config: &ssh_config.Config{}}
	if s.home == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("finding the home directory: %w", err)
		}
		s.home = home
	}
	if s.file == "" {
		s.file = filepath.Join(s.home, ".ssh", "config")
	}
	text, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ssh configuration: %w", err)
	}
	if s.config, err = ssh_config.DecodeBytes(text); err != nil {
		return nil, fmt.Errorf("reading the ssh configuration %s: %w", s.file, err)
	}
	return s, nil
}

// get is the value of a keyword for a host, and "" without one.
func (s *settings) get(alias, keyword string) (string, error) {
	v, err := s.config.Get(alias, keyword)
	if err != nil {
		return "", fmt.Errorf("%s: %s for %s: %w", s.file, keyword, alias, err)
	}
	return v, nil
}

// complete fills in what the URL left open. Only the host's own name in the
// URL is matched against the configuration, as ssh does.
// hostKeys, if there are any, are asked where the URL names no key and no file.
func (s *settings) complete(t Target, hostKeys HostKeys) (endpoint, error) {
	e := endpoint{Target: t, hostKeys: hostKeys}
	alias := t.Host
	values := map[string]string{}
	for _, keyword := range []string{"HostName", "User", "Port", "ProxyJump", "IdentitiesOnly", "IdentityAgent", "UserKnownHostsFile"} {
		v, err := s.get(alias, keyword)
		if err != nil {
			return e, err
		}
		values[keyword] = v
	}
	if v := values["HostName"]; v != "" {
		e.Host = strings.NewReplacer("%h", alias, "%%", "%").Replace(v)
	}
	if err := s.completePort(&e, values["Port"]); err != nil {
		return e, err
	}
	if err := completeUser(&e, values["User"]); err != nil {
		return e, err
	}
	if v := values["ProxyJump"]; v != "" && !strings.EqualFold(v, "none") {
		e.jumps = strings.Split(v, ",")
	}
	e.agent = s.agentSocket(values["IdentityAgent"], e, alias)
	e.identitiesOnly = strings.EqualFold(values["IdentitiesOnly"], "yes")
	e.PrivateKeyFile = s.tilde(e.PrivateKeyFile)
	if err := s.completeIdentities(&e, alias); err != nil {
		return e, err
	}
	return e, s.completeHostKeys(&e, alias, values["UserKnownHostsFile"])
}

func (s *settings) completePort(e *endpoint, configured string) error {
	if e.Port != 0 {
		return nil
	}
	e.Port = 22
	if configured == "" {
		return nil
	}
	port, err := strconv.Atoi(configured)
	if err != nil || port < 1 || port > 65535 {
		return fmt.Errorf("%s: Port %q is no port from 1 to 65535", s.file, configured)
	}
	e.Port = port
	return nil
}

func completeUser(e *endpoint, configured string) error {
	if e.User != "" {
		return nil
	}
	if e.User = configured; e.User != "" {
		return nil
	}
	me, err := user.Current()
	if err != nil {
		return fmt.Errorf("the URL names no user, and who runs this process cannot be told: %w", err)
	}
	e.User = me.Username
	return nil
}

// usualKeys are the files that ssh tries, in its order.
var usualKeys = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519"}

func (s *settings) completeIdentities(e *endpoint, alias string) error {
	files, err := s.config.GetAll(alias, "IdentityFile")
	if err != nil {
		return fmt.Errorf("%s: IdentityFile for %s: %w", s.file, alias, err)
	}
	for _, file := range files {
		if !strings.EqualFold(file, "none") {
			e.identityFiles = append(e.identityFiles, s.expand(file, *e, alias))
		}
	}
	if len(files) == 0 && e.PrivateKeyFile == "" {
		for _, name := range usualKeys {
			e.defaultFiles = append(e.defaultFiles, filepath.Join(s.home, ".ssh", name))
		}
	}
	return nil
}

func (s *settings) completeHostKeys(e *endpoint, alias, configured string) (err error) {
	switch {
	case e.HostKey == insecure:
		e.hostKeys = InsecureHostKeys()
	case e.HostKey != "":
		e.hostKeys = FingerprintHostKeys(e.HostKey)
	case e.KnownHosts != "":
		file := s.tilde(e.KnownHosts)
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("parameter knownHosts: %w", err)
		}
		e.hostKeys, err = KnownHosts(file)
	case e.hostKeys == nil:
		e.hostKeys, err = KnownHosts(s.knownHostsFiles(*e, alias, configured)...)
	}
	return err
}

func (s *settings) knownHostsFiles(e endpoint, alias, configured string) []string {
	global := []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	if configured == "" {
		dir := filepath.Join(s.home, ".ssh")
		return append([]string{filepath.Join(dir, "known_hosts"), filepath.Join(dir, "known_hosts2")}, global...)
	}
	var files []string
	for _, file := range strings.Fields(configured) {
		if !strings.EqualFold(file, "none") {
			files = append(files, s.expand(strings.Trim(file, `"`), e, alias))
		}
	}
	return append(files, global...)
}

// agentSocket is what IdentityAgent means: a socket, none at all, or an
// environment variable that names it.
func (s *settings) agentSocket(configured string, e endpoint, alias string) string {
	switch {
	case configured == "" || configured == "SSH_AUTH_SOCK":
		return ""
	case strings.EqualFold(configured, NoAgent):
		return NoAgent
	case strings.HasPrefix(configured, "$"):
		return os.Getenv(strings.Trim(configured[1:], "{}"))
	}
	return s.expand(strings.Trim(configured, `"`), e, alias)
}

// tilde expands a leading ~/ as shells do.
func (s *settings) tilde(file string) string {
	if file == "~" || strings.HasPrefix(file, "~/") {
		return filepath.Join(s.home, file[1:])
	}
	return file
}

// expand replaces the tokens that ssh_config(5) allows in file names. A name
// that is not absolute is taken from the working directory, as ssh does.
func (s *settings) expand(file string, e endpoint, alias string) string {
	return s.tilde(strings.NewReplacer(
		"%%", "%", "%d", s.home, "%h", e.Host, "%n", alias,
		"%p", strconv.Itoa(e.Port), "%r", e.User, "%u", localUser(),
	).Replace(file))
}

func localUser() string {
	me, err := user.Current()
	if err != nil {
		return os.Getenv("USER")
	}
	return me.Username
}
