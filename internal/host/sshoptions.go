package host

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
)

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
