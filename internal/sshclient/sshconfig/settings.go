// Package sshconfig fills in what a connection URL leaves open, as the ssh command
// does: from ~/.ssh/config and the usual files.
package sshconfig

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
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// An Endpoint is a Target with everything filled in that the URL left open.
type Endpoint struct {
	sshurl.Target
	IdentityFiles  []string // of ~/.ssh/config
	DefaultFiles   []string // the usual ones, when nothing else is named
	IdentitiesOnly bool
	Agent          string   // IdentityAgent: where the agent listens, if not where the options say
	Jumps          []string // ProxyJump, nearest first
	HostKeys       hostkey.Checker
}

// Settings is what this machine says about connections.
type Settings struct {
	home   string
	config *ssh_config.Config
	file   string
}

// Options say where the configuration is.
type Options struct {
	Home       string // where .ssh is; default: the home directory of the user
	ConfigFile string // read in place of Home/.ssh/config
}

// NoAgent is the value of IdentityAgent for no agent.
const NoAgent = "none"

// Read reads the configuration.
func Read(opts Options) (*Settings, error) {
	s := &Settings{home: opts.Home, file: opts.ConfigFile, config: &ssh_config.Config{}}
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
func (s *Settings) get(alias, keyword string) (string, error) {
	v, err := s.config.Get(alias, keyword)
	if err != nil {
		return "", fmt.Errorf("%s: %s for %s: %w", s.file, keyword, alias, err)
	}
	return v, nil
}

// Resolve fills in what the URL left open. Only the host's own name in the
// URL is matched against the configuration, as ssh does.
// hostKeys, if there are any, are asked where the URL names no key and no file.
func (s *Settings) Resolve(t sshurl.Target, hostKeys hostkey.Checker) (Endpoint, error) {
	e := Endpoint{Target: t, HostKeys: hostKeys}
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
		e.Jumps = strings.Split(v, ",")
	}
	e.Agent = s.agentSocket(values["IdentityAgent"], e, alias)
	e.IdentitiesOnly = strings.EqualFold(values["IdentitiesOnly"], "yes")
	e.PrivateKeyFile = s.ExpandHome(e.PrivateKeyFile)
	if err := s.completeIdentities(&e, alias); err != nil {
		return e, err
	}
	return e, s.completeHostKeys(&e, alias, values["UserKnownHostsFile"])
}

func (s *Settings) completePort(e *Endpoint, configured string) error {
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

func completeUser(e *Endpoint, configured string) error {
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

func (s *Settings) completeIdentities(e *Endpoint, alias string) error {
	files, err := s.config.GetAll(alias, "IdentityFile")
	if err != nil {
		return fmt.Errorf("%s: IdentityFile for %s: %w", s.file, alias, err)
	}
	for _, file := range files {
		if !strings.EqualFold(file, "none") {
			e.IdentityFiles = append(e.IdentityFiles, s.expand(file, *e, alias))
		}
	}
	if len(files) == 0 && e.PrivateKeyFile == "" {
		for _, name := range usualKeys {
			e.DefaultFiles = append(e.DefaultFiles, filepath.Join(s.home, ".ssh", name))
		}
	}
	return nil
}

func (s *Settings) completeHostKeys(e *Endpoint, alias, configured string) (err error) {
	switch {
	case e.HostKey == sshurl.Insecure:
		e.HostKeys = hostkey.AcceptAny()
	case e.HostKey != "":
		e.HostKeys = hostkey.Fingerprint(e.HostKey)
	case e.KnownHosts != "":
		file := s.ExpandHome(e.KnownHosts)
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("parameter knownHosts: %w", err)
		}
		e.HostKeys, err = hostkey.KnownHosts(file)
	case e.HostKeys == nil:
		e.HostKeys, err = hostkey.KnownHosts(s.knownHostsFiles(*e, alias, configured)...)
	}
	return err
}

func (s *Settings) knownHostsFiles(e Endpoint, alias, configured string) []string {
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
func (s *Settings) agentSocket(configured string, e Endpoint, alias string) string {
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

// ExpandHome expands a leading ~/ as shells do.
func (s *Settings) ExpandHome(file string) string {
	if file == "~" || strings.HasPrefix(file, "~/") {
		return filepath.Join(s.home, file[1:])
	}
	return file
}

// expand replaces the tokens that ssh_config(5) allows in file names. A name
// that is not absolute is taken from the working directory, as ssh does.
func (s *Settings) expand(file string, e Endpoint, alias string) string {
	return s.ExpandHome(strings.NewReplacer(
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
