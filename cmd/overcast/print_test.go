package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// forms are the arguments of `overcast config`: for all sources, a host, and a
// file.
var forms = [][]string{{}, {"--json"}, {"web"}, {"--json", "web"}, {"overcast.conf"}, {"--json", "overcast.conf"}}

// expectMasked runs the command with all forms and checks that the secrets are
// not in its output.
func expectMasked(t *testing.T, conf string, code int, secrets []string) {
	t.Helper()
	for _, args := range forms {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			got, out, stderr := overcast(t, conf, append([]string{"config"}, args...)...)
			for _, secret := range secrets {
				assert.NotContains(t, out, secret)
				assert.NotContains(t, stderr, secret)
			}
			if code == 0 {
				assert.Equal(t, 0, got, stderr)
				assert.Contains(t, out, "********")
			} else if len(args) > 0 && args[len(args)-1] == "web" {
				assert.Equal(t, code, got)
				assert.NotEmpty(t, stderr)
			}
		})
	}
}

func TestConfigMasksSecrets(t *testing.T) {
	for name, test := range map[string]struct {
		conf    string
		secrets []string
	}{
		"in one place and others": {`keys { passphrase = open-sesame }
			web.connection.url = "ssh://me:hunter22@{0}?passphrase="${keys.passphrase}"&os=UNIX"
			web.provision { url = "ssh://me:p%40ssword@{0}", cmd = "login --with open-sesame p@ssword" }`,
			[]string{"open-sesame", "hunter22", "p@ssword", "p%40ssword"}},
		"slash":                {`web.connection.url = "ssh://root:pa/ss@h"`, []string{"pa/ss"}},
		"question mark":        {`web.connection.url = "ssh://u:bigx?y@{0}"`, []string{"bigx", "x?y"}},
		"blank":                {`web.connection.url = "ssh://u:big secret@{0}"`, []string{"big", "secret"}},
		"at":                   {`web.connection.url = "ssh://u:p@ssw0rd/x@{0}?os=UNIX"`, []string{"p@ss", "ssw0rd"}},
		"hash":                 {`web.connection.url = "ssh://u:big#secret@{0}"`, []string{"big", "secret"}},
		"passphrase of words":  {`web.connection.url = "ssh://u@{0}?passphrase=my long phrase&os=UNIX"`, []string{"my", "long", "phrase "}},
		"hypervisor":           {`lab.url = "qemu+tcp://user:big/secret@host/system?no_verify=1&password=my own"`, []string{"big", "my own", "own"}},
		"command":              {`web.connection.url = "ssh://u@{0}", web.provision.cmd = "curl ssh://u:hunter22@h --password=trustno1"`, []string{"hunter22", "trustno1"}},
		"list of passwords":    {`lab.password = [hunter22, {x = trustno1}, 12345, true]`, []string{"hunter22", "trustno1", "12345", "true"}},
		"quoted key":           {`lab."db password" = hunter22, lab."my password ".x = trustno1`, []string{"hunter22", "trustno1"}},
		"plural":               {`lab.passwords = hunter22, lab.PassPhrases { x { y = trustno1 } }`, []string{"hunter22", "trustno1"}},
		"of sudo":              {`lab { sudoPassword = hunter22, suPassword { x = trustno1 } }`, []string{"hunter22", "trustno1"}},
		"as a key":             {`lab.password = "hunter77", lab.x { "hunter77" = 1 }, web.fsMapping = null`, []string{"hunter77"}},
		"as part of a key":     {`lab.password = hunter77, "is hunter77".y.z = 1`, []string{"hunter77"}},
		"URL as a key":         {`lab."ssh://u:big secret@h".x = 1`, []string{"big", "secret"}},
		"encoded otherwise":    {`web.connection.url = "ssh://u@{0}?passphrase=a%26b%2Fc", x = "a&b/c", y = "a%26b%2fc", "a&b%2fc" = z`, []string{"a&b", "a%26b"}},
		"encoded and below":    {`lab.password = "a&b/c", x = "a%26b%2fc"`, []string{"a&b", "a%26b"}},
		"one within the other": {`lab.password = hunter, lab.passphrase = hunter22, x = "a hunter22"`, []string{"hunter", "22"}},
		"alone in a number":    {`lab.password = 123456, x = 123456`, []string{"123456"}},
	} {
		t.Run(name, func(t *testing.T) {
			// A secret of the host, for the forms that print only the host.
			own := "\nweb { hostname = web, provision.expirationTag.url = \"ssh://u:0wnSecret@h\" }\n"
			expectMasked(t, own+test.conf, 0, append(test.secrets, "0wnSecret"))
		})
	}
}

func TestConfigErrorsMaskSecrets(t *testing.T) {
	for name, conf := range map[string]string{
		"connection":              `connection = "ssh://u:bigsecret@h"`,
		"connection, not a URL":   `connection = bigsecret`,
		"provision":               `provision = bigsecret`,
		"tag":                     `provision.expirationTag = bigsecret`,
		"SSH":                     `SSH = bigsecret`,
		"timeout":                 `SSH.timeout = "ssh://u:bigsecret@h"`,
		"scope":                   `scope = "ssh://u:bigsecret@h"`,
		"scope with blanks":       `scope = "ssh://u:my bigsecret@h"`,
		"overlay":                 `overlay = "ssh://u@h?passphrase=my bigsecret"`,
		"unknown key":             `"ssh://u:bigsecret@h" = 1`,
		"unknown key, parameter":  `"passphrase=bigsecret" = 1`,
		"tag of a mapping":        `fsMapping { "ssh://u:bigsecret@h" = 3 }`,
		"address":                 `static.ip = "ssh://u:bigsecret@h"`,
		"known from another key":  `scope = "bigsecret", connection.url = "ssh://u:bigsecret@{0}"`,
		"known, and a key":        `bigsecret = 1, connection.url = "ssh://u:bigsecret@{0}"`,
		"known, encoded":          `scope = "big%73ecret", connection.url = "ssh://u:bigsecret@{0}"`,
		"URL that is not allowed": `connection.url = "telnet://u:bigsecret@h"`,
		"URL without a host":      `connection.url = "ssh://u:bigsecret"`,
	} {
		t.Run(name, func(t *testing.T) {
			expectMasked(t, "web { libvirtBaseDomain = base }\nweb { "+conf+" }", 1, []string{"bigsecret@", "=bigsecret", "big%73ecret"})
			_, _, stderr := overcast(t, "web { libvirtBaseDomain = base }\nweb { "+conf+" }", "config", "web")
			assert.NotContains(t, stderr, "bigsecret")
		})
	}
	for name, args := range map[string][]string{"label": {"ssh:u?password=bigsecret"}, "file": {"ssh://u:bigsecret@h"}} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := overcast(t, seed, append([]string{"config"}, args...)...)
			assert.Equal(t, 1, code)
			assert.NotContains(t, stderr, "bigsecret")
		})
	}
}

// In a section that may contain a URL, other values are not masked.
func TestConfigErrorsShowValuesThatAreNotSecret(t *testing.T) {
	for conf, want := range map[string]string{
		`SSH.timeout = soon`:            `web.SSH.timeout: "soon" is not a number of seconds or a duration, such as 30 or 2 minutes`,
		`provision.startTimeout = soon`: `web.provision.startTimeout: "soon" is not a number of seconds or a duration, such as 30 or 2 minutes`,
		`connection.ulr = x`:            `web.connection: unknown key "ulr", did you mean "url"?`,
	} {
		_, _, stderr := overcast(t, "web { libvirtBaseDomain = base, "+conf+" }", "config", "web")
		assert.Contains(t, stderr, want)
	}
}

func TestConfigMasksPasswordKeysOfHosts(t *testing.T) {
	const document = `{"db": {"password": "hunter22", "passphrase": "trustno1"}, "x": "hunter22 trustno1"}`
	dir := t.TempDir()
	for name, test := range map[string]struct {
		file, conf string
		named      string // the value of OVERCAST_CONF
		masked     bool
	}{
		"any document":          {file: "other.conf", conf: document},
		"of a host":             {file: "other.conf", conf: document + `{"web": {"libvirtURL": "qemu:///system"}}`, masked: true},
		"of no host at the top": {file: "other.conf", conf: document + `{"a": {"web": {"hostname": "h"}}}`},
		"by its name":           {file: "overcast.conf", conf: document, masked: true},
		"by the environment":    {file: "other.conf", conf: document, named: "other.conf", masked: true},
		"another is named":      {file: "other.conf", conf: document, named: "nowhere.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(dir)
			t.Setenv("OVERCAST_CONF", test.named)
			path := filepath.Join(dir, test.file)
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(test.conf, "}{", ",")), 0o600))
			var out, stderr bytes.Buffer
			require.Equal(t, 0, run([]string{"config", "--json", path}, &out, &stderr), stderr.String())
			assert.NotContains(t, out.String(), "trustno1")
			assert.Equal(t, !test.masked, strings.Contains(out.String(), `"hunter22"`), out.String())
			assert.Equal(t, !test.masked, strings.Contains(out.String(), `"hunter22 ********"`), out.String())
		})
	}
}

func TestConfigMasksKeysThatAreSecrets(t *testing.T) {
	const conf = `lab.password = hunter77, lab.x { "hunter77".y = 1 }, hunter77 = 2`
	_, out, _ := overcast(t, conf, "config")
	assert.Contains(t, out, `lab.x."********".y = 1  #`)
	assert.Contains(t, out, "\"********\" = 2  #")
	_, out, _ = overcast(t, conf, "config", "--json")
	assert.JSONEq(t, `{"lab": {"password": "********", "x": {"********": {"y": 1}}}, "********": 2}`, out)
}

func TestConfigMasksUserData(t *testing.T) {
	const conf = `web {
	image = "images/a.qcow2"
	cloudInit.userData = "#cloud-config\npassword: hunter2\n"
}
db { image = "images/a.qcow2", cloudInit.userData = "user-data.yaml" }
`
	for _, args := range [][]string{{"config", "web"}, {"config", "--json"}} {
		code, out, stderr := overcast(t, conf, args...)
		assert.Equal(t, 0, code, stderr)
		assert.NotContains(t, out, "hunter2")
		assert.Contains(t, out, "********")
	}
	_, out, _ := overcast(t, conf, "config", "db")
	assert.Contains(t, out, `db.cloudInit.userData = "user-data.yaml"`, "a path is no secret")
}
