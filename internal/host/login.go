package host

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
)

// target is where and how to log in. The error is an [ErrNoLogin] if the
// configuration does not say.
func (h *Host) target() (sshurl.Target, error) {
	url := h.settings.ConnectionURL()
	if url == "" {
		return sshurl.Target{}, fmt.Errorf(`%w: set connection.url = "ssh://user@{0}?privateKeyFile=..."`, ErrNoLogin)
	}
	return sshurl.ParseURL(sshurl.ExpandHost(url, h.instance.Address()))
}

// User is the user that Run logs in as.
func (h *Host) User() (string, error) {
	target, err := h.target()
	if err != nil {
		return "", err
	}
	return sshconfig.LoginName(target)
}

// Client returns the connection that all users of the host share. It logs in if
// there is none or if it was lost. One goroutine logs in; the others wait for it
// under their own contexts.
func (h *Host) Client(ctx context.Context) (*sshclient.Client, error) {
	return h.shared.Get(ctx, func(ctx context.Context) (*sshclient.Client, error) {
		target, err := h.target()
		if err != nil {
			return nil, err
		}
		return h.dial(ctx, target, h.keys)
	})
}

// whileUp returns a context that also ends when the host is torn down.
func (h *Host) whileUp(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.life, func() { cancel(context.Cause(h.life)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// dial logs in by the route to the host.
func (h *Host) dial(ctx context.Context, target sshurl.Target, keys hostkey.Checker) (*sshclient.Client, error) {
	return sshclient.Dial(ctx, target, h.options(keys, 0))
}

// options are those of a login by the route to the host, with a timeout for the TCP
// connection. 0 is no timeout.
func (h *Host) options(keys hostkey.Checker, timeout time.Duration) *sshclient.Options {
	options := &sshclient.Options{HostKeys: keys, ConnectTimeout: timeout, TrackProcesses: true}
	if h.route.Reach() != provider.ReachDirect {
		options.Dialer = h.route.WithTimeout(timeout)
	}
	return options
}

// SSHOption is an option of ssh_config(5).
type SSHOption struct{ Name, Value string }

// SSHOptions are the options with which ssh logs in to the host: HostName, User and so
// on. If the key of a new host is known, ssh accepts no other; if it is not, ssh
// accepts any and does not remember it. They contain no secret: ssh asks for those.
func (h *Host) SSHOptions() ([]SSHOption, error) {
	target, err := h.target()
	if err != nil {
		return nil, err
	}
	options := []SSHOption{{"HostName", target.Host}}
	if target.User != "" {
		options = append(options, SSHOption{"User", target.User})
	}
	if target.Port != 0 {
		options = append(options, SSHOption{"Port", strconv.Itoa(target.Port)})
	}
	if target.PrivateKeyFile != "" {
		options = append(options, SSHOption{"IdentityFile", quoteOption(target.PrivateKeyFile)}, SSHOption{"IdentitiesOnly", "yes"})
	}
	if h.route.Reach() == provider.ReachHypervisor {
		gateway, err := h.route.Gateway()
		if err != nil {
			return nil, err
		}
		options = append(options, SSHOption{"ProxyJump", jumpTo(gateway)})
	}
	return append(options, h.hostKeyOptions()...), nil
}

// hostKeyOptions say which host keys are accepted. For an existing machine that is
// left to known_hosts.
func (h *Host) hostKeyOptions() []SSHOption {
	pin, isNew := h.keys.(*hostkey.Pin)
	if !isNew {
		return nil
	}
	options := []SSHOption{{"UserKnownHostsFile", "/dev/null"}, {"GlobalKnownHostsFile", "/dev/null"}}
	key, err := pin.MarshalText()
	if err != nil || len(key) == 0 {
		return append(options, SSHOption{"StrictHostKeyChecking", "no"}, SSHOption{"LogLevel", "ERROR"})
	}
	return append(options, SSHOption{"StrictHostKeyChecking", "yes"}, SSHOption{"KnownHostsCommand", fmt.Sprintf("/bin/echo %%H %s", key)})
}

func jumpTo(t sshurl.Target) string {
	text := t.Host
	if strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	if t.User != "" {
		text = t.User + "@" + text
	}
	if t.Port != 0 {
		text += ":" + strconv.Itoa(t.Port)
	}
	return text
}

// quoteOption quotes the value of an option that contains a blank.
func quoteOption(value string) string {
	if strings.ContainsAny(value, " \t") {
		return `"` + value + `"`
	}
	return value
}
