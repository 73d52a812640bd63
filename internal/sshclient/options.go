package sshclient

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
)

// A Dialer opens connections: net.Dialer is one, and so is [*Client].
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// NoAgent as AgentSocket means that no agent is asked.
const NoAgent = sshconfig.NoAgent

// Options are what a connection URL does not say. Nil and the zero value are
// the defaults.
type Options struct {
	// Dialer is the way to the machine, for example a Client of another one.
	// With it ProxyJump of ~/.ssh/config is not followed. Default: a direct
	// connection, or by ProxyJump.
	Dialer Dialer

	// HostKeys judges the machine's key where the URL has neither hostKey nor
	// knownHosts. Default: the known_hosts files that ssh reads. The machines
	// of a ProxyJump are always checked against those.
	HostKeys hostkey.Checker

	// Home is where .ssh is looked for. Default: the user's home directory.
	Home string

	// ConfigFile is read in place of Home/.ssh/config.
	ConfigFile string

	// AgentSocket is where the ssh agent listens, or NoAgent. Default:
	// IdentityAgent of ~/.ssh/config, or SSH_AUTH_SOCK.
	AgentSocket string
	agentGiven  bool

	// ConnectTimeout bounds a direct connection beneath, where there is
	// neither Dialer nor ProxyJump. Default: none but that of the whole login.
	ConnectTimeout time.Duration

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
	// that those of a command whose context ends can be found and ended. The
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
