package sshurl_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

const print43 = "SHA256:0123456789012345678901234567890123456789abc"

func TestParseURL(t *testing.T) {
	base := func(edit func(*sshurl.Target)) sshurl.Target {
		target := sshurl.Target{User: "user", Host: "linux-box", OS: "UNIX", ConnectionType: sshurl.SCP}
		if edit != nil {
			edit(&target)
		}
		return target
	}
	for _, tc := range []struct {
		name, url string
		want      sshurl.Target
		shown     string // by String
	}{
		{"user and host", "ssh://user@linux-box", base(nil), "ssh://user@linux-box?os=UNIX&connectionType=SCP"},
		{"the seed's",
			"ssh://user@linux-box?os=UNIX&connectionType=SCP&privateKeyFile=/home/me/.ssh/id_rsa&passphrase=bigsecret",
			base(func(t *sshurl.Target) { t.PrivateKeyFile = "/home/me/.ssh/id_rsa"; *t = t.WithPassphrase("bigsecret") }),
			"ssh://user@linux-box?os=UNIX&connectionType=SCP&privateKeyFile=/home/me/.ssh/id_rsa&passphrase=********"},
		{"all parameters",
			"ssh://user:sesame@linux-box:2222/?os=UNIX&connectionType=INTERACTIVE_SUDO&sudoUsername=oracle&allocatePty=xterm:132:43:0:0&connectionTimeoutMillis=1500&hostKey=" + print43,
			base(func(t *sshurl.Target) {
				t.Port, t.ConnectionType, t.SudoUsername = 2222, sshurl.InteractiveSudo, "oracle"
				t.AllocatePty, t.Timeout, t.HostKey = sshurl.Pty{Term: "xterm", Columns: 132, Rows: 43}, 1500*time.Millisecond, print43
				*t = t.WithPassword("sesame")
			}),
			"ssh://user:********@linux-box:2222?os=UNIX&connectionType=INTERACTIVE_SUDO&sudoUsername=oracle&allocatePty=xterm:132:43:0:0&connectionTimeoutMillis=1500&hostKey=" + print43},
		{"no user", "ssh://linux-box", base(func(t *sshurl.Target) { t.User = "" }), "ssh://linux-box?os=UNIX&connectionType=SCP"},
		{"scheme in capitals", "SSH://user@linux-box", base(nil), "ssh://user@linux-box?os=UNIX&connectionType=SCP"},
		{"empty parameters", "ssh://user@linux-box?", base(nil), "ssh://user@linux-box?os=UNIX&connectionType=SCP"},
		{"IPv6", "ssh://user@[::1]:22?os=UNIX", base(func(t *sshurl.Target) { t.Host, t.Port = "::1", 22 }),
			"ssh://user@[::1]:22?os=UNIX&connectionType=SCP"},
		{"IPv6 with a zone", "ssh://user@[fe80::1%25eth0]", base(func(t *sshurl.Target) { t.Host = "fe80::1%eth0" }),
			"ssh://user@[fe80::1%25eth0]?os=UNIX&connectionType=SCP"},
		{"a password with everything in it", "ssh://user:a@b:c/d?e+#%@linux-box?os=UNIX",
			base(func(t *sshurl.Target) { *t = t.WithPassword("a@b:c/d?e+#%") }),
			"ssh://user:********@linux-box?os=UNIX&connectionType=SCP"},
		{"a passphrase with everything in it", "ssh://user@linux-box?passphrase=a@b:c/d?e=f+g#h%zz%26%2b",
			base(func(t *sshurl.Target) { *t = t.WithPassphrase("a@b:c/d?e=f+g#h%zz&+") }),
			"ssh://user@linux-box?os=UNIX&connectionType=SCP&passphrase=********"},
		{"an escaped login", "ssh://dom%5Cuser:p%40ss%2F@linux-box",
			base(func(t *sshurl.Target) { t.User = `dom\user`; *t = t.WithPassword("p@ss/") }),
			`ssh://dom\user:********@linux-box?os=UNIX&connectionType=SCP`},
		{"insecure", "ssh://user@linux-box?hostKey=insecure", base(func(t *sshurl.Target) { t.HostKey = "insecure" }),
			"ssh://user@linux-box?os=UNIX&connectionType=SCP&hostKey=insecure"},
		{"another known_hosts", "ssh://user@linux-box?knownHosts=/etc/kh", base(func(t *sshurl.Target) { t.KnownHosts = "/etc/kh" }),
			"ssh://user@linux-box?os=UNIX&connectionType=SCP&knownHosts=/etc/kh"},
		{"a default pty", "ssh://user@linux-box?allocatePty=true",
			base(func(t *sshurl.Target) { t.AllocatePty = sshurl.Pty{Term: "vt220", Columns: 80, Rows: 24} }),
			"ssh://user@linux-box?os=UNIX&connectionType=SCP&allocatePty=vt220:80:24:0:0"},
		{"no pty", "ssh://user@linux-box?allocatePty=false", base(nil), "ssh://user@linux-box?os=UNIX&connectionType=SCP"},
		{"suUsername", "ssh://user@linux-box?connectionType=SU&suUsername=db",
			base(func(t *sshurl.Target) { t.ConnectionType, t.SudoUsername = sshurl.SU, "db" }),
			"ssh://user@linux-box?os=UNIX&connectionType=SU&sudoUsername=db"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := sshurl.ParseURL(tc.url)
			if err != nil {
				t.Fatal(err)
			}
			if sshurl.Reveal(got) != sshurl.Reveal(tc.want) {
				t.Errorf("got  %s\nwant %s", sshurl.Reveal(got), sshurl.Reveal(tc.want))
			}
			if got.String() != tc.shown {
				t.Errorf("shown as %s\nwant     %s", got, tc.shown)
			}
		})
	}
}

func TestParseURLErrors(t *testing.T) {
	for _, tc := range []struct{ name, url, want string }{
		{"no scheme", "user@linux-box", "must begin with ssh://"},
		{"empty", "", "must begin with ssh://"},
		{"cifs", "cifs://user:hunter2@win?os=WINDOWS", "windows machines are not supported"},
		{"telnet", "telnet://user:hunter2@win", "windows machines are not supported"},
		{"http", "http://user:hunter2@box", "only ssh:// is supported"},
		{"os=WINDOWS", "ssh://user:hunter2@win?os=WINDOWS", "windows machines are not supported"},
		{"an unknown os", "ssh://user:hunter2@box?os=ZOS", `parameter os: "ZOS" is not supported: it must be UNIX`},
		{"an unknown connection type", "ssh://user:hunter2@box?connectionType=RSYNC",
			`"RSYNC" is not allowed: it must be SCP, SFTP, SUDO, INTERACTIVE_SUDO or SU`},
		{"a connection type of Windows", "ssh://user:hunter2@box?connectionType=SFTP_CYGWIN", "windows machines"},
		{"a misspelt parameter", "ssh://user:hunter2@box?privatKeyFile=/k", `unknown parameter "privatKeyFile": did you mean privateKeyFile?`},
		{"a parameter in lower case", "ssh://user:hunter2@box?connectiontype=SCP", "did you mean connectionType?"},
		{"a passphrase with a bare ampersand", "ssh://user@box?passphrase=x&hunter2&os=UNIX", "parameter number 2 is unknown"},
		{"given twice", "ssh://user:hunter2@box?os=UNIX&os=UNIX", "parameter os is given twice"},
		{"hostKey and knownHosts", "ssh://user:hunter2@box?hostKey=insecure&knownHosts=/k", "one of them"},
		{"a bad host key", "ssh://user:hunter2@box?hostKey=MD5:00", "SHA256: and 43 characters"},
		{"a bad timeout", "ssh://user:hunter2@box?connectionTimeoutMillis=soon", `"soon" is not a positive number of milliseconds`},
		{"a bad pty", "ssh://user:hunter2@box?allocatePty=maybe", `"maybe" is not allowed`},
		{"a bad sudo user", "ssh://user:hunter2@box?sudoUsername=-u", "it is not a user name"},
		{"no host", "ssh://user:hunter2@", "the host is missing"},
		{"an empty user", "ssh://@box", "the user before '@' is empty"},
		{"no at sign", "ssh://user:hunter2", "is an '@' missing?"},
		{"a password that looks like a parameter", "ssh://user:hunter2?e=@box", "is an '@' missing?"},
		{"port 0", "ssh://user:hunter2@box:0", "not a port from 1 to 65535"},
		{"port too large", "ssh://user:hunter2@box:65536", "not a port from 1 to 65535"},
		{"a path", "ssh://user:hunter2@box/etc", "a path is not allowed"},
		{"a host that is an option", "ssh://user:hunter2@-oProxyCommand", "begins with '-'"},
		{"IPv6 without brackets", "ssh://user:hunter2@fe80::1", "must be in brackets"},
		{"an open bracket", "ssh://user:hunter2@[::1", "no ']'"},
		{"text after the bracket", "ssh://user:hunter2@[::1]22", "only a port may follow"},
		{"a placeholder", "ssh://user:hunter2@{0}", "the host is still {0}"},
		{"a control character", "ssh://user:hunter2\x7f@bo\x7fx", "characters that no host name has"},
		{"a broken escape", "ssh://user:hunter2%@bo%x", "characters that no host name has"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := sshurl.ParseURL(tc.url)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want something with %q", err, tc.want)
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
	if _, err := sshurl.ParseURL("cifs://win"); !errors.Is(err, sshurl.ErrWindows) {
		t.Errorf("cifs:// is refused with %v, which is not ErrWindows", err)
	}
}

func TestExpandHost(t *testing.T) {
	for _, tc := range []struct{ name, url, addr, want, host string }{
		{"IPv4", "ssh://user@{0}?os=UNIX", "10.0.0.1", "ssh://user@10.0.0.1?os=UNIX", "10.0.0.1"},
		{"a name", "ssh://user@{0}:22", "guest", "ssh://user@guest:22", "guest"},
		{"IPv6", "ssh://user@{0}:22", "fe80::1", "ssh://user@[fe80::1]:22", "fe80::1"},
		{"IPv6 in brackets already", "ssh://user@[{0}]", "::1", "ssh://user@[::1]", "::1"},
		{"a bracketed address", "ssh://user@{0}", "[::1]", "ssh://user@[::1]", "::1"},
		{"a zone", "ssh://user@{0}", "fe80::1%eth0", "ssh://user@[fe80::1%25eth0]", "fe80::1%eth0"},
		{"nothing to expand", "ssh://user@box", "::1", "ssh://user@box", "box"},
		{"only the host", "ssh://u:{0}@{0}?passphrase={0}", "1.2.3.4", "ssh://u:{0}@1.2.3.4?passphrase={0}", "1.2.3.4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := sshurl.ExpandHost(tc.url, tc.addr)
			if got != tc.want {
				t.Fatalf("got %s, want %s", got, tc.want)
			}
			target, err := sshurl.ParseURL(got)
			if err != nil || target.Host != tc.host {
				t.Errorf("parsed to host %q, %v; want %q", target.Host, err, tc.host)
			}
		})
	}
}

func TestSecretsAreNeverFormatted(t *testing.T) {
	target, err := sshurl.ParseURL("ssh://user:hunter2@box?passphrase=hunter2&suPassword=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	type foreign struct {
		Shown  sshurl.Target
		hidden sshurl.Target
		deep   *sshurl.Target
		list   []sshurl.Target
	}
	f := foreign{target, target, &target, []sshurl.Target{target}}
	for _, value := range []any{target, &target, f, &f, f.list, map[string]sshurl.Target{"a": target}, []any{target}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
			text := fmt.Sprintf(verb, value)
			for _, secret := range []string{"hunter2", "68756e74657232", "68756E74657232"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s of a %T shows the secret: %s", verb, value, text)
				}
			}
		}
	}
	if text, err := json.Marshal(target); err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}
