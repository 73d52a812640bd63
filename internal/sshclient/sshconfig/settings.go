// Package sshconfig fills in what a connection URL leaves open, as the ssh command
// does: from ~/.ssh/config and the usual files.
package sshconfig

import (
	"context"
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
	// Warnings name the parts of the configuration that were ignored.
	Warnings []string

	home       string
	file       string
	isExplicit bool // the caller has named home or file
	// For machines without the ssh program, or if that fails.
	configs []*ssh_config.Config // of the user and of the system
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
	s := &Settings{home: opts.Home, file: opts.ConfigFile, isExplicit: opts.Home != "" || opts.ConfigFile != ""}
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
	files := []string{s.file}
	if !s.isExplicit {
		files = append(files, "/etc/ssh/ssh_config")
	}
	for _, file := range files {
		if err := s.decode(file); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// decode reads one file. It leaves out the sections that the library cannot
// evaluate.
func (s *Settings) decode(file string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the ssh configuration: %w", err)
	}
	config, err := ssh_config.DecodeBytes(text)
	if err != nil {
		rest, ignored := withoutMatch(string(text))
		if config, err = ssh_config.DecodeBytes([]byte(rest)); err == nil {
			for _, line := range ignored {
				s.Warnings = append(s.Warnings, fmt.Sprintf("%s: the section %q was ignored", file, line))
			}
		}
	}
	if err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("the ssh configuration %s was ignored: %v", file, err))
		return nil
	}
	s.configs = append(s.configs, config)
	return nil
}

// withoutMatch removes the Match sections, and returns their first lines.
func withoutMatch(text string) (rest string, ignored []string) {
	var b strings.Builder
	skip := false
	for line := range strings.Lines(text) {
		keyword, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(line), "=", " "), " ")
		switch strings.ToLower(keyword) {
		case "match":
			skip = true
			ignored = append(ignored, strings.TrimSpace(line))
		case "host":
			skip = false
		}
		if !skip {
			b.WriteString(line)
		}
	}
	return b.String(), ignored
}

// keywords are those that the values are needed of.
var keywords = []string{"HostName", "User", "Port", "ProxyJump", "IdentitiesOnly", "IdentityAgent", "UserKnownHostsFile", "IdentityFile"}

// lookUp returns the values of the keywords for a machine: as the ssh program
// evaluates them, or else as the library does.
func (s *Settings) lookUp(ctx context.Context, t sshurl.Target) (map[string][]string, error) {
	values, err := s.evaluate(ctx, t)
	if err == nil && values != nil {
		s.Warnings = nil // the program has evaluated what the library ignored
		if strings.EqualFold(values["hostname"][0], t.Host) {
			delete(values, "hostname")
		}
		usual := filepath.Join(s.home, ".ssh", "known_hosts")
		if known := s.inHome(values["userknownhostsfile"]); known != usual+" "+usual+"2" {
			values["userknownhostsfile"] = []string{known}
		} else {
			delete(values, "userknownhostsfile")
		}
		return values, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("ssh -G %s failed, so that the ssh configuration was read without it: %v", t.Host, err))
	}
	values = map[string][]string{}
	for _, keyword := range keywords {
		for _, config := range s.configs {
			found, err := config.GetAll(t.Host, keyword)
			if err != nil {
				return nil, fmt.Errorf("%s: %s for %s: %w", s.file, keyword, t.Host, err)
			}
			values[strings.ToLower(keyword)] = append(values[strings.ToLower(keyword)], found...)
		}
	}
	return values, nil
}

// inHome moves files that do not exist from the home directory of the account, which
// ssh inserts whatever HOME is, to the home directory of the settings.
func (s *Settings) inHome(value []string) string {
	files := strings.Fields(strings.Join(value, " "))
	me, err := user.Current()
	for i, file := range files {
		below, found := strings.CutPrefix(file, "~/")
		if err == nil && !found {
			below, found = strings.CutPrefix(file, me.HomeDir+"/")
		}
		if _, missing := os.Stat(file); found && (missing != nil || strings.HasPrefix(below, ".ssh/known_hosts")) {
			files[i] = filepath.Join(s.home, below)
		}
	}
	return strings.Join(files, " ")
}

// Resolve fills in what the URL leaves open. Only the host name in the URL is
// matched against the configuration, as ssh does. hostKeys, if not nil, judges
// the host key if the URL names neither key nor file.
func (s *Settings) Resolve(ctx context.Context, t sshurl.Target, hostKeys hostkey.Checker) (Endpoint, error) {
	e := Endpoint{Target: t, HostKeys: hostKeys}
	alias := t.Host
	values, err := s.lookUp(ctx, t)
	if err != nil {
		return e, err
	}
	first := func(keyword string) string {
		if all := values[strings.ToLower(keyword)]; len(all) > 0 {
			return all[0]
		}
		return ""
	}
	if v := first("HostName"); v != "" {
		e.Host = strings.NewReplacer("%h", alias, "%%", "%").Replace(v)
	}
	if err := s.completePort(&e, first("Port")); err != nil {
		return e, err
	}
	if err := completeUser(&e, first("User")); err != nil {
		return e, err
	}
	if v := first("ProxyJump"); v != "" && !strings.EqualFold(v, "none") {
		e.Jumps = strings.Split(v, ",")
	}
	e.Agent = s.agentSocket(first("IdentityAgent"), e, alias)
	e.IdentitiesOnly = strings.EqualFold(first("IdentitiesOnly"), "yes")
	e.PrivateKeyFile = s.ExpandHome(e.PrivateKeyFile)
	s.completeIdentities(&e, alias, values["identityfile"])
	return e, s.completeHostKeys(&e, alias, first("UserKnownHostsFile"))
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
		return fmt.Errorf("%s: Port %q is not a port from 1 to 65535", s.file, configured)
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
		return fmt.Errorf("the URL names no user, and the user of this process cannot be determined: %w", err)
	}
	e.User = me.Username
	return nil
}

// usualKeys are the files that ssh tries, in its order.
var usualKeys = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519"}

func (s *Settings) completeIdentities(e *Endpoint, alias string, files []string) {
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
