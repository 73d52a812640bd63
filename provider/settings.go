package provider

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// Settings are the keys that every host may have. A provider embeds it in the
// struct that it decodes a section into, after it has set the defaults:
//
//	config := struct {
//		provider.Settings
//		Size int `hocon:"size"`
//	}{Settings: provider.DefaultSettings()}
//	err := section.Decode(&config)
type Settings struct {
	// Scope is [ScopeProcess] for a host that every process of a parallel run
	// has for itself, or [ScopeSuite] for one that they share.
	Scope string `hocon:"scope"`
	// Connection says how tests log in; ConnectionURL has the URL.
	Connection Connection `hocon:"connection,secret"`
	// Provision is done before tests use the host.
	Provision Provision `hocon:"provision,secret"`
	// Keep says when a host stays for inspection instead of being torn down:
	// [KeepNever], [KeepOnFailure] or [KeepAlways]. KeepPolicy also considers
	// the environment.
	Keep string `hocon:"keep"`
	// BootDelay is a pause between the address and the first login.
	BootDelay time.Duration `hocon:"bootDelay"`
	// Reach says how to connect to the host: [ReachAuto], [ReachDirect] or
	// [ReachHypervisor].
	Reach string `hocon:"reach"`
	// Attach makes a set-up use the host that "overcast up" has set up, if it has
	// the same configuration and no other process uses it. AttachPolicy also
	// considers the environment.
	Attach bool `hocon:"attach"`
	// Ready lists what must hold, after provisioning, before tests use the host.
	Ready []Condition `hocon:"ready,secret" example:"[{ port = 80 }]"`
	// ReadyTimeout is the limit for all conditions together.
	ReadyTimeout time.Duration `hocon:"readyTimeout"`
	// Clock says what happens to the clock of the host's system when the host is
	// reverted to a checkpoint: [ClockSet] or [ClockKeep].
	Clock string `hocon:"clock"`
	// Warm makes later hosts start from the memory of this one instead of booting. It is
	// nil without the key. WarmPolicy also considers the environment.
	Warm *Warm `hocon:"warm,secret"`
}

// Connection is the section connection of a host.
type Connection struct {
	// URL is how to log in: ssh://user@{0}?privateKeyFile=..., where {0} is the
	// address.
	URL string `hocon:"url,secret"`
}

// Provision is the section provision of a host.
type Provision struct {
	// URL is how to log in to provision. The default is that of Connection.
	URL string `hocon:"url,secret"`
	// StartTimeout is the limit for the first login, from the end of BootDelay.
	StartTimeout time.Duration `hocon:"startTimeout"`
	// Copy lists files and folders to upload: pairs of a local and a remote
	// path or, in a list of odd length, local paths and one remote folder. Missing
	// remote folders are created.
	Copy []string `hocon:"copy" example:"[\"app.conf\", \"/etc/app.conf\"]"`
	// Cmd is a command to run after that. It must succeed.
	Cmd string `hocon:"cmd,secret"`
	// Timeout is the limit for copying and for the command, together, and before that for
	// the host to configure itself, see [ReadyChecker].
	Timeout time.Duration `hocon:"timeout"`
	// BootDelay is a pause after that.
	BootDelay time.Duration `hocon:"bootDelay"`
	// Cache makes set-ups provision once: later hosts are created from the disks of
	// the provisioned one. CachePolicy also considers the environment.
	Cache *bool `hocon:"cache"`
	// ExpirationTag has a command whose output is part of the identity of the cached
	// disks: another output provisions anew.
	ExpirationTag ExpirationTag `hocon:"expirationTag,secret"`
}

// ExpirationTag is the section provision.expirationTag of a host.
type ExpirationTag struct {
	// Cmd prints the tag. It runs in the current folder.
	Cmd string `hocon:"cmd"`
	// URL is the connection URL of the machine that runs Cmd instead.
	URL string `hocon:"url,secret"`
}

// Values of scope.
const (
	ScopeProcess = "process"
	ScopeSuite   = "suite"
)

// Values of reach.
const (
	ReachAuto       = "auto"       // whichever works, direct first
	ReachDirect     = "direct"     // from this machine
	ReachHypervisor = "hypervisor" // through an SSH connection to the hypervisor
)

// Values of keep.
const (
	KeepNever     = "never"
	KeepOnFailure = "on-failure" // if the set-up failed, or a test that used the host
	KeepAlways    = "always"
)

// Values of clock.
const (
	ClockSet  = "set"  // it is set to the time of this machine
	ClockKeep = "keep" // it continues from the time of the checkpoint
)

var (
	clocks       = []string{ClockSet, ClockKeep}
	scopes       = []string{ScopeProcess, ScopeSuite}
	reaches      = []string{ReachAuto, ReachDirect, ReachHypervisor}
	keepPolicies = []string{KeepNever, KeepOnFailure, KeepAlways}
)

// keepVariable is the environment variable that overrides keep of every host.
const keepVariable = "OVERCAST_KEEP"

// DefaultSettings are the values of keys that a section does not have.
func DefaultSettings() Settings {
	return Settings{Scope: ScopeProcess, Reach: ReachAuto, Keep: KeepNever, Clock: ClockSet, ReadyTimeout: time.Minute, Provision: Provision{StartTimeout: time.Minute, Timeout: 10 * time.Minute}}
}

// Common returns s. It implements the method of [Instance].
func (s Settings) Common() Settings { return s }

// ConnectionURL is how tests log in: connection.url, else provision.url, else "".
func (s Settings) ConnectionURL() string {
	if s.Connection.URL != "" {
		return s.Connection.URL
	}
	return s.Provision.URL
}

// KeepPolicy is when the host is kept: the value of OVERCAST_KEEP if it is set,
// else that of keep.
func (s Settings) KeepPolicy() string {
	if override := os.Getenv(keepVariable); override != "" {
		return override
	}
	return s.Keep
}

// attachVariable is the environment variable that overrides attach of every host.
const attachVariable = "OVERCAST_ATTACH"

// AttachPolicy reports whether a set-up uses a host that "overcast up" has set up:
// the value of OVERCAST_ATTACH (1 or 0) if it is set, else that of attach.
func (s Settings) AttachPolicy() bool {
	if override, err := strconv.ParseBool(os.Getenv(attachVariable)); err == nil {
		return override
	}
	return s.Attach
}

// check checks what decoding cannot.
func (s Settings) check(section *hocon.Value) error {
	switch {
	case !slices.Contains(scopes, s.Scope):
		return section.Invalid("scope", "must be one of %s", strings.Join(scopes, ", "))
	case !slices.Contains(keepPolicies, s.Keep):
		return section.Invalid("keep", "must be one of %s", strings.Join(keepPolicies, ", "))
	case !slices.Contains(keepPolicies, s.KeepPolicy()):
		return fmt.Errorf("%s is %q: must be one of %s", keepVariable, s.KeepPolicy(), strings.Join(keepPolicies, ", "))
	case !slices.Contains(reaches, s.Reach):
		return section.Invalid("reach", "must be one of %s", strings.Join(reaches, ", "))
	case !slices.Contains(clocks, s.Clock):
		return section.Invalid("clock", "must be one of %s", strings.Join(clocks, ", "))
	case s.BootDelay < 0:
		return section.Invalid("bootDelay", "is negative")
	case s.Provision.BootDelay < 0:
		return section.Invalid("provision.bootDelay", "is negative")
	case s.Provision.StartTimeout <= 0:
		return section.Invalid("provision.startTimeout", "must be greater than 0")
	case s.Provision.Timeout <= 0:
		return section.Invalid("provision.timeout", "must be greater than 0")
	case len(s.Provision.Copy) == 1:
		return section.Invalid("provision.copy", "has one path: it takes pairs of a local and a remote path, such as [\"app.conf\", \"/etc/app.conf\"]")
	case s.ConnectionURL() == "" && (s.Provision.Cmd != "" || len(s.Provision.Copy) > 0):
		return section.Invalid("provision.url", "is missing: provision.cmd and provision.copy need a login")
	}
	if s.Provision.Cache != nil && *s.Provision.Cache && s.ConnectionURL() == "" {
		return section.Invalid("provision.cache", "needs a login: set connection.url or provision.url")
	}
	if err := s.checkWarm(section); err != nil {
		return err
	}
	if err := checkCacheMode(); err != nil {
		return err
	}
	if err := s.checkReady(section); err != nil {
		return err
	}
	if err := checkURL(section, "provision.expirationTag.url", s.Provision.ExpirationTag.URL); err != nil {
		return err
	}
	if err := checkURL(section, "connection.url", s.Connection.URL); err != nil {
		return err
	}
	return checkURL(section, "provision.url", s.Provision.URL)
}

// checkURL parses a connection URL with an address in place of {0}.
func checkURL(section *hocon.Value, key, url string) error {
	if url == "" {
		return nil
	}
	if _, err := sshurl.ParseURL(sshurl.ExpandHost(url, "address")); err != nil {
		return section.Invalid(key, "%v", err)
	}
	return nil
}
