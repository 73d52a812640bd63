package cloudinit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
)

// kinds are the first lines by which cloud-init tells user data apart, and their
// content types. A longer one comes before its own beginning.
var kinds = []struct{ start, contentType string }{
	{"#!", "text/x-shellscript"},
	{"#cloud-config-archive", "text/cloud-config-archive"},
	{"#cloud-config-jsonp", "text/cloud-config-jsonp"},
	{"#cloud-config", cloudConfigType},
	{"#cloud-boothook", "text/cloud-boothook"},
	{"#include-once", "text/x-include-once-url"},
	{"#include", "text/x-include-url"},
	{"#part-handler", "text/part-handler"},
	{"## template: jinja", "text/jinja2"},
}

const cloudConfigType = "text/cloud-config"

// part is one body of the MIME message that cloud-init receives.
type part struct {
	header textproto.MIMEHeader
	body   []byte
}

// userData returns the user data of the seed: that of the test author, and behind
// it the parts of this package.
func (c *Config) userData() ([]byte, error) {
	parts, err := split(c.UserData)
	if err != nil {
		return nil, err
	}
	own, err := c.ownParts()
	if err != nil {
		return nil, err
	}
	return join(append(parts, own...))
}

// How cloud-init merges a part into what the parts before it say. The first one
// puts lists before those that are there, and otherwise keeps what is there. The
// second one replaces whole top-level keys.
const (
	mergePrepend = "dict(recurse_array,no_replace)+list(prepend)+str()"
	mergeReplace = "dict(replace)+list()+str()"
)

type loginConfig struct {
	MergeHow string `json:"merge_how"`
	Users    []any  `json:"users"`
	// EtcHosts is "localhost" to add the host name to /etc/hosts. sudo waits for
	// the resolver and prints a warning if the host name has no address.
	EtcHosts string `json:"manage_etc_hosts"`
}

type userConfig struct {
	Name           string   `json:"name"`
	AuthorizedKeys []string `json:"ssh_authorized_keys"`
	Sudo           string   `json:"sudo,omitempty"`
	LockPassword   bool     `json:"lock_passwd"`
}

type hostConfig struct {
	MergeHow    string            `json:"merge_how"`
	DeleteKeys  bool              `json:"ssh_deletekeys,omitempty"`
	HostKeys    map[string]string `json:"ssh_keys,omitempty"`
	DisableRoot *bool             `json:"disable_root,omitempty"`
}

// root needs no sudo, but cloud-init's permission to log in.
const root = "root"

func (c *Config) ownParts() ([]part, error) {
	user := userConfig{Name: c.User.Name, LockPassword: true}
	for _, line := range c.User.AuthorizedKeys {
		user.AuthorizedKeys = append(user.AuthorizedKeys, strings.TrimSpace(line))
	}
	host := hostConfig{MergeHow: mergeReplace}
	if user.Name == root {
		host.DisableRoot = new(bool)
	} else {
		user.Sudo = "ALL=(ALL) NOPASSWD:ALL"
	}
	if len(c.HostKeys) > 0 {
		host.DeleteKeys, host.HostKeys = true, map[string]string{}
	}
	for _, key := range c.HostKeys {
		host.HostKeys[key.Type+"_private"] = string(key.private())
		host.HostKeys[key.Type+"_public"] = key.Public
	}
	login, err := cloudConfig("overcast-login.cfg", loginConfig{mergePrepend, []any{"default", user}, "localhost"})
	if err != nil || host.HostKeys == nil && host.DisableRoot == nil {
		return []part{login}, err
	}
	ssh, err := cloudConfig("overcast-ssh.cfg", host)
	return []part{login, ssh}, err
}

func cloudConfig(name string, value any) (part, error) {
	text, err := encode(value)
	if err != nil {
		return part{}, err
	}
	return newPart(cloudConfigType, name, append([]byte("#cloud-config\n"), text...)), nil
}

// newPart returns a part with a name. cloud-init damages characters that are not
// ASCII unless they are encoded.
func newPart(contentType, name string, body []byte) part {
	header := textproto.MIMEHeader{}
	header.Set("Content-Type", contentType+`; charset="utf-8"`)
	header.Set("Content-Disposition", fmt.Sprintf(`attachment; filename=%q`, name))
	return part{header, body}.encoded()
}

// encoded returns the part in base64 if it was not encoded before, and is not
// plain ASCII. A part with parts stays as it is.
func (p part) encoded() part {
	switch strings.ToLower(p.header.Get("Content-Transfer-Encoding")) {
	case "", "7bit", "8bit", "binary":
	default:
		return p
	}
	if isPlain(p.body) || hasPrefixFold([]byte(p.header.Get("Content-Type")), "multipart/") {
		return p
	}
	p.header.Set("Content-Transfer-Encoding", "base64")
	return part{p.header, wrapBase64(p.body)}
}

// isPlain reports whether a text is the same after it was sent as 7bit.
func isPlain(text []byte) bool {
	return !bytes.ContainsFunc(text, func(r rune) bool {
		return r > '~' || r < ' ' && r != '\n' && r != '\t'
	})
}

// base64Line is how long a line of base64 is, at most, in bytes.
const base64Line = 76

func wrapBase64(body []byte) []byte {
	text := base64.StdEncoding.EncodeToString(body)
	var b bytes.Buffer
	for len(text) > base64Line {
		b.WriteString(text[:base64Line] + "\n")
		text = text[base64Line:]
	}
	b.WriteString(text + "\n")
	return b.Bytes()
}

// userDataName is the field that errors name.
const userDataName = "cloudInit.userData"

// split returns the parts of the test author's user data.
func split(text []byte) ([]part, error) {
	text = bytes.TrimLeft(text, " \t\r\n") // a script must start with #!
	if len(text) == 0 {
		return nil, nil
	}
	for _, kind := range kinds {
		if hasPrefixFold(text, kind.start) {
			if kind.contentType == cloudConfigType {
				if err := checkYAML(userDataName, text); err != nil {
					return nil, err
				}
			}
			return []part{newPart(kind.contentType, "user-data", text)}, nil
		}
	}
	message, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil || message.Header.Get("Content-Type") == "" {
		return nil, &ConfigError{userDataName, "the first line is none that cloud-init knows: start with #cloud-config, with #! for a script, or with the header Content-Type of a MIME message"}
	}
	return splitMessage(message)
}

func hasPrefixFold(text []byte, prefix string) bool {
	return len(text) >= len(prefix) && strings.EqualFold(string(text[:len(prefix)]), prefix)
}

// splitMessage returns the parts of a MIME message as they are. A part may have
// parts itself.
func splitMessage(message *mail.Message) ([]part, error) {
	mediaType, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return nil, &ConfigError{userDataName, "the header Content-Type is not valid"}
	}
	if !strings.HasPrefix(mediaType, "multipart/") {
		body, err := io.ReadAll(message.Body)
		return []part{part{keepHeader(message.Header), body}.encoded()}, err
	}
	var parts []part
	for reader := multipart.NewReader(message.Body, parameters["boundary"]); ; {
		next, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) && len(parts) > 0 {
			return parts, nil
		}
		if err != nil {
			return nil, &ConfigError{userDataName, fmt.Sprintf("part %d of the MIME message cannot be read: check the boundary, which the header Content-Type names", len(parts)+1)}
		}
		body, err := io.ReadAll(next)
		if err != nil {
			return nil, &ConfigError{userDataName, fmt.Sprintf("part %d of the MIME message is cut off", len(parts)+1)}
		}
		parts = append(parts, part{next.Header, body}.encoded())
	}
}

// keepHeader returns what describes the body of a message.
func keepHeader(from mail.Header) textproto.MIMEHeader {
	header := textproto.MIMEHeader{}
	for name, values := range from {
		switch name {
		case "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Merge-Type", "X-Merge-Type", "Launch-Index":
			header[name] = values
		}
	}
	return header
}

// join returns one MIME message with all parts.
func join(parts []part) ([]byte, error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, p := range parts {
		to, err := w.CreatePart(p.header)
		if err != nil {
			return nil, err
		}
		if _, err := to.Write(p.body); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	// cloud-init looks for MIME-Version near the start.
	header := fmt.Sprintf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=%q\n\n", w.Boundary())
	return append([]byte(header), body.Bytes()...), nil
}
