package redact_test

import (
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/stretchr/testify/assert"
)

func TestRedact(t *testing.T) {
	for name, test := range map[string]struct {
		text, shown string
		secrets     []string
	}{
		"nothing":               {"plain text", "plain text", nil},
		"no password":           {"ssh://root@h:22?os=UNIX", "ssh://root@h:22?os=UNIX", nil},
		"IPv6":                  {"ssh://root@[::1]:22", "ssh://root@[::1]:22", nil},
		"IPv6 without user":     {"http://[::1]:80/x", "http://[::1]:80/x", nil},
		"password":              {"ssh://root:hunter22@h", "ssh://root:********@h", []string{"hunter22"}},
		"slash":                 {"ssh://root:pa/ss@h", "ssh://root:********@h", []string{"pa/ss"}},
		"question mark":         {"ssh://u:x?y@{0}", "ssh://u:********@{0}", []string{"x?y"}},
		"hash":                  {"ssh://u:x#y@{0}", "ssh://u:********@{0}", []string{"x#y"}},
		"blank":                 {" ssh://u:big secret@{0}", " ssh://u:********@{0}", []string{"big secret"}},
		"at":                    {"ssh://u:p@ssw0rd/x@{0}?os=UNIX", "ssh://u:********@{0}?os=UNIX", []string{"p@ssw0rd/x"}},
		"quotes":                {`ssh://u:a"b'c d@{0}`, "ssh://u:********@{0}", []string{`a"b'c d`}},
		"encoded":               {"ssh://u:p%40ss@h", "ssh://u:********@h", []string{"p%40ss", "p@ss"}},
		"parameter not escaped": {"ssh://u:big?secret=x@h", "ssh://u:********@h", []string{"big?secret=x"}},
		"host forgotten":        {"SSH://u:bigsecret", "SSH://u:********", []string{"bigsecret"}},
		"tag of an image":       {"docker://alpine:latest", "docker://alpine:latest", nil},
		"passphrase":            {"ssh://u@h?passphrase=my long phrase&os=UNIX", "ssh://u@h?passphrase=********&os=UNIX", []string{"my long phrase"}},
		"blank before":          {"ssh://u@h?privateKeyFile=/my keys/id&passphrase=my long phrase", "ssh://u@h?privateKeyFile=/my keys/id&passphrase=********", []string{"my long phrase"}},
		"hash in passphrase":    {"ssh://u@h?passphrase=my #?/@phrase", "ssh://u@h?passphrase=********", []string{"my #?/@phrase"}},
		"empty":                 {"ssh://u:@h?passphrase=&os=UNIX", "ssh://u:@h?passphrase=&os=UNIX", nil},
		"all of them": {"ssh://u:aaaa@h?suPassword=bbbb&sudoPassword=cccc&password=dddd",
			"ssh://u:********@h?suPassword=********&sudoPassword=********&password=********", []string{"aaaa", "bbbb", "cccc", "dddd"}},
		"hypervisor": {"qemu+tcp://user:bigsecret@host/system?no_verify=1&password=my own",
			"qemu+tcp://user:********@host/system?no_verify=1&password=********", []string{"bigsecret", "my own"}},
		"URL in a URL":          {"http://h?next=ssh://u:hunter22@g", "http://h?next=ssh://u:********@g", []string{"hunter22"}},
		"two URLs":              {"http://h?a=b ssh://u:hunter22@g", "http://h?a=b ssh://u:********@g", []string{"hunter22"}},
		"and not escaped":       {"ssh://u@h?passphrase=my&long phrase&os=UNIX", "ssh://u@h?passphrase=********&os=UNIX", []string{"my&long phrase"}},
		"and at the end":        {"ssh://u@h?passphrase=my&long", "ssh://u@h?passphrase=********", []string{"my&long"}},
		"parameter alone":       {"os=UNIX&passphrase=my long phrase", "os=UNIX&passphrase=********", []string{"my long phrase", "my"}},
		"variable of a command": {"DB_PASSWORD=hunter22 ./run", "DB_PASSWORD=********", []string{"hunter22 ./run", "hunter22"}},
		"command":               {"curl ssh://u:p/a@ss@h me@example", "curl ssh://u:********@h me@example", []string{"p/a@ss"}},
		"quoted in a command":   {`get 'ssh://u:big secret@h' me@example`, `get 'ssh://u:********@h' me@example`, []string{"big secret"}},
		"quoted option":         {`get "--url=ssh://u:big secret@h" x`, `get "--url=ssh://u:********@h" x`, []string{"big secret"}},
		"escaped blank":         {`get ssh://u:big\ secret@h x`, `get ssh://u:********@h x`, []string{`big\ secret`}},
		"parameter of command":  {`login --password="my own" x`, `login --password=******** x`, []string{`"my own"`, "my own"}},
		"port in a message":     {"cannot reach ssh://web:22: connection refused", "cannot reach ssh://web:22: connection refused", nil},
		"port with a path":      {"get http://h:8080/x for me@example", "get http://h:8080/x for me@example", nil},
		"end of an escape":      {`get http:\`, `get http:\`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			shown, secrets := redact.Redact(test.text)
			assert.Equal(t, test.shown, shown)
			assert.Equal(t, test.secrets, secrets)
			again, more := redact.Redact(shown)
			assert.Equal(t, shown, again)
			assert.Empty(t, more)
		})
	}
}

// A text that is made to keep us busy is hidden instead.
func TestRedactIsQuick(t *testing.T) {
	for _, piece := range []string{"a://", "password=", "a://b:c@", `"a://`} {
		shown, _ := redact.Redact(strings.Repeat(piece, 20_000) + "ssh://u:hunter22@h")
		assert.NotContains(t, shown, "hunter22")
	}
}

// What ParseURL takes as a secret is what Redact hides.
func TestRedactFollowsParseURL(t *testing.T) {
	for _, password := range []string{"pa/ss", "x?y", "big secret", "p@ssw0rd/x", "a:b", "a+b", "a#b", "100%", "%zz", "a%20b", `"quoted"`, "a://b", "?passphrase", "é"} {
		for _, url := range []string{"ssh://u:" + password + "@h?os=UNIX", "ssh://u@h?os=UNIX&passphrase=" + password + "&suPassword=" + password} {
			target, err := sshurl.ParseURL(url)
			assert.NoError(t, err)
			shown, secrets := redact.Redact(url)
			assert.NotContains(t, shown, password)
			for _, secret := range []redact.Secret{target.Password(), target.Passphrase(), target.SuPassword()} {
				if secret.Reveal() != "" {
					assert.Contains(t, secrets, secret.Reveal())
				}
			}
		}
	}
}

func TestMayHoldSecret(t *testing.T) {
	for text, want := range map[string]bool{
		"":                      false,
		"plain text":            false,
		"me@example":            false,
		"ssh://host":            false,
		"ssh://host:22/path":    false,
		"ssh://u:bigsecret@h":   true,
		"ssh://u:bigsecret":     true, // the '@' was forgotten
		"://u@h":                true, // the beginning of a URL that was cut
		"ssh://h?passphra":      true,
		"suPassword=bigsecret":  true,
		"PASSPHRASE=":           true,
		"qemu+tcp://u:secret@h": true,
	} {
		assert.Equal(t, want, redact.MayHoldSecret(text), text)
	}
}

func TestHide(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		secrets []string
		shown   string
	}{
		"nothing known":       {"a hunter22", nil, "a hunter22"},
		"empty":               {"a hunter22", []string{""}, "a hunter22"},
		"as it is":            {"a hunter22 b", []string{"hunter22"}, "a ******** b"},
		"encoded":             {"x=a%26%2fb&y", []string{"a&/b"}, "x=********&y"},
		"encoded otherwise":   {"x=a%2fb y=%61/b", []string{"a%2Fb"}, "x=******** y=********"},
		"decoded":             {"x=a&b", []string{"a%26b"}, "x=********"},
		"encoded twice":       {"x=a%2526b", []string{"a%26b"}, "x=********"},
		"one within another":  {"hunter22", []string{"hunter", "hunter22"}, "********"},
		"overlapping":         {"ababab", []string{"abab"}, "********"},
		"lone percent":        {"100% hunter22%", []string{"hunter22"}, "100% ********%"},
		"half of an encoding": {"a%2", []string{"a%2"}, "********"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.shown, redact.Hide(test.text, test.secrets)) })
	}
}
