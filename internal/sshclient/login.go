package sshclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// A Login is how to log in to a machine, as the URL, the options and the ssh
// configuration of this machine say. It can be dialled any number of times, also by
// several goroutines: the ssh configuration is not evaluated again. Key files and
// the ssh agent are read for each attempt.
type Login struct {
	opts     Options
	endpoint sshconfig.Endpoint
	agent    string   // socket of the ssh agent, "" or NoAgent
	skipped  []string // parts of the configuration that were ignored, and why
	hops     []hop    // of ProxyJump, nearest first
}

// hop is a machine of ProxyJump.
type hop struct {
	spec  string // in the configuration
	login *Login
}

// Resolve evaluates the ssh configuration for a machine. The error is a [*DialError]
// of [PhaseSettings], or of [PhaseConnect] if ctx has ended.
func Resolve(ctx context.Context, t sshurl.Target, opts *Options) (*Login, error) {
	o := opts.withDefaults()
	s, err := sshconfig.Read(sshconfig.Options{Home: o.Home, ConfigFile: o.ConfigFile})
	if err != nil {
		return nil, &DialError{PhaseSettings, t.Addr(), err}
	}
	return resolver{o, s}.resolve(ctx, t, o.HostKeys, o.Dialer == nil, 0)
}

type resolver struct {
	opts     Options
	settings *sshconfig.Settings
}

// resolve evaluates the configuration for one machine, and for those of its
// ProxyJump if that is followed.
func (r resolver) resolve(ctx context.Context, t sshurl.Target, keys hostkey.Checker, followJumps bool, depth int) (*Login, error) {
	e, err := r.settings.Resolve(ctx, t, keys)
	if ctx.Err() != nil { // nothing is wrong with the settings
		return nil, &DialError{PhaseConnect, t.Addr(), context.Cause(ctx)}
	}
	if err != nil {
		return nil, &DialError{PhaseSettings, t.Addr(), err}
	}
	l := &Login{opts: r.opts, endpoint: e, agent: r.opts.AgentSocket, skipped: slices.Clone(r.settings.Warnings)}
	if depth > 0 {
		l.opts.Verify = nil // it is about the machine itself
	}
	if e.Agent != "" && !r.opts.agentGiven {
		l.agent = e.Agent
		if e.Agent == NoAgent {
			l.skipped = append(l.skipped, "the ssh agent (IdentityAgent none)")
		}
	}
	if followJumps {
		if l.hops, err = r.resolveJumps(ctx, e, depth); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// maxJumps limits the depth of ProxyJump, which may lead back to itself.
const maxJumps = 8

// resolveJumps resolves the machines of ProxyJump. As with ssh, a ProxyJump of these
// machines is followed only for the first of them.
func (r resolver) resolveJumps(ctx context.Context, e sshconfig.Endpoint, depth int) ([]hop, error) {
	var hops []hop
	for i, spec := range e.Jumps {
		err := errors.New("more than 8 machines in a row: does ProxyJump lead back to itself?")
		var t sshurl.Target
		var l *Login
		if depth < maxJumps {
			if t, err = sshurl.ParseURL("ssh://" + strings.TrimPrefix(strings.TrimSpace(spec), "ssh://")); err == nil {
				l, err = r.resolve(ctx, t, nil, i == 0, depth+1)
			}
		}
		if err != nil {
			return nil, jumpError(e, spec, err)
		}
		hops = append(hops, hop{spec, l})
	}
	return hops, nil
}

// jump connects to the machines of ProxyJump, to each through the one before it. It
// returns the client of the last one; nil if there are none.
func (l *Login) jump(ctx context.Context) (*Client, error) {
	var last *Client
	for _, h := range l.hops {
		var dialer Dialer
		if last != nil {
			dialer = last
		}
		next, err := h.login.dial(ctx, dialer, last)
		if err != nil {
			last.Close()
			return nil, jumpError(l.endpoint, h.spec, err)
		}
		last = next
	}
	return last, nil
}

// jumpError is the error of a connection whose ProxyJump failed.
func jumpError(e sshconfig.Endpoint, spec string, err error) error {
	phase := phaseOf(err)
	if phase == "" {
		phase = PhaseSettings
	}
	return &DialError{phase, e.Addr(), fmt.Errorf("through %s (ProxyJump): %w", spec, err)}
}

// credentials reads the keys for an attempt.
func (l *Login) credentials(ctx context.Context) (*credentials.Credentials, error) {
	cred, err := credentials.Gather(ctx, l.endpoint, l.agent)
	if err != nil {
		return nil, &DialError{PhaseSettings, l.endpoint.Addr(), err}
	}
	cred.Skipped = append(cred.Skipped, l.skipped...)
	return cred, nil
}

// A Dialer opens connections: net.Dialer is one, and so is [*Client].
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// NoAgent as AgentSocket means that no agent is asked.
const NoAgent = sshconfig.NoAgent

// Options are the settings of a login that a connection URL does not have. Nil and the
// zero value are the defaults.
type Options struct {
	// Dialer is the way to the machine, for example a Client of another one.
	// With it ProxyJump of ~/.ssh/config is not followed. Default: a direct
	// connection, or by ProxyJump.
	Dialer Dialer

	// HostKeys checks the machine's key if the URL has neither hostKey nor
	// knownHosts. Default: the known_hosts files that ssh reads. The machines
	// of a ProxyJump are always checked against those files.
	HostKeys hostkey.Checker

	// Home is where .ssh is looked for. Default: the user's home directory.
	Home string

	// ConfigFile is read in place of Home/.ssh/config.
	ConfigFile string

	// AgentSocket is where the ssh agent listens, or NoAgent. Default:
	// IdentityAgent of ~/.ssh/config, or SSH_AUTH_SOCK.
	AgentSocket string
	agentGiven  bool

	// ConnectTimeout limits the TCP connection if there is neither Dialer nor
	// ProxyJump. Default: only the whole login is limited.
	ConnectTimeout time.Duration

	// Verify, if it is set, is called after each login, also that of a further
	// connection of the client, before the connection is used. run executes a
	// command on the machine and returns its standard output. If Verify fails,
	// the login fails with its error. It is not called for the machines of a
	// ProxyJump.
	Verify func(ctx context.Context, run func(ctx context.Context, cmd string) (stdout string, err error)) error

	// KeepAlive is the time between two keepalive requests, negative for
	// none. Default: 5 s.
	KeepAlive time.Duration

	// KeepAliveMisses is after how many intervals without an answer the
	// connection counts as lost. Default: 3.
	KeepAliveMisses int

	// MaxOutput bounds what is kept of a command's output, both streams
	// together, in bytes. Default: 16 MiB.
	MaxOutput int

	// TrackProcesses makes [Client.Run] mark the processes of each command, so
	// that they can be found and ended when the context of the command ends. The
	// command line then begins with a prefix that sets the environment
	// variable OVERCAST_RUN. Leave it off for accounts that run only certain
	// command lines (command= in authorized_keys), and for machines whose login
	// shell is none of Bourne's, csh or fish.
	TrackProcesses bool

	idleTime time.Duration // after which an extra connection is closed
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	d.agentGiven = d.AgentSocket != ""
	if d.AgentSocket == "" {
		d.AgentSocket = os.Getenv("SSH_AUTH_SOCK")
	}
	if d.KeepAlive == 0 {
		d.KeepAlive = 5 * time.Second
	}
	if d.KeepAliveMisses <= 0 {
		d.KeepAliveMisses = 3
	}
	if d.MaxOutput <= 0 {
		d.MaxOutput = 16 << 20
	}
	if d.idleTime <= 0 {
		d.idleTime = 10 * time.Second
	}
	return d
}
