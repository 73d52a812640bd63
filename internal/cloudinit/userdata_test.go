package cloudinit_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// piece is a part of the user data of a seed, decoded.
type piece struct{ kind, encoding, body string }

// pieces reads the user data of a seed as a mail program would.
func pieces(t *testing.T, c cloudinit.Config) (found []piece) {
	t.Helper()
	message, err := mail.ReadMessage(strings.NewReader(contents(t, build(t, c))["user-data"]))
	require.NoError(t, err)
	_, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	require.NoError(t, err)
	for reader := multipart.NewReader(message.Body, parameters["boundary"]); ; {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		body, err := io.ReadAll(part)
		require.NoError(t, err)
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		require.NoError(t, err)
		encoding := part.Header.Get("Content-Transfer-Encoding")
		if encoding == "base64" {
			body, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body)))
			require.NoError(t, err)
		}
		found = append(found, piece{kind, encoding, string(body)})
	}
}

// cloudConfig reads a part that this package made, which is JSON.
func cloudConfig(t *testing.T, p piece) (found map[string]any) {
	t.Helper()
	require.Equal(t, "text/cloud-config", p.kind)
	text, ok := strings.CutPrefix(p.body, "#cloud-config\n")
	require.True(t, ok, p.body)
	require.NoError(t, json.Unmarshal([]byte(text), &found))
	return found
}

func TestTheUserIsAddedToTheList(t *testing.T) {
	found := pieces(t, config())
	require.Len(t, found, 1)
	assert.Equal(t, map[string]any{
		"merge_how": "dict(recurse_array,no_replace)+list(prepend)+str()",
		"users": []any{"default", map[string]any{
			"name": "admin", "ssh_authorized_keys": []any{publicKey}, "sudo": "ALL=(ALL) NOPASSWD:ALL", "lock_passwd": true,
		}},
		"manage_etc_hosts": "localhost",
	}, cloudConfig(t, found[0]))
}

func TestHostKeysReplaceThoseOfTheImage(t *testing.T) {
	keys, err := cloudinit.GenerateHostKeys()
	require.NoError(t, err)
	c := config()
	c.HostKeys = keys
	found := pieces(t, c)
	require.Len(t, found, 2)
	assert.Equal(t, map[string]any{
		"merge_how":      "dict(replace)+list()+str()",
		"ssh_deletekeys": true,
		"ssh_keys": map[string]any{
			"ed25519_private": string(keys[0].PrivateKey()), "ed25519_public": keys[0].Public,
			"ecdsa_private": string(keys[1].PrivateKey()), "ecdsa_public": keys[1].Public,
		},
	}, cloudConfig(t, found[1]))
}

func TestRootMayLogIn(t *testing.T) {
	c := config()
	c.User.Name = "root"
	found := pieces(t, c)
	require.Len(t, found, 2)
	assert.NotContains(t, found[0].body, "sudo")
	assert.Equal(t, map[string]any{"merge_how": "dict(replace)+list()+str()", "disable_root": false}, cloudConfig(t, found[1]))
}

func TestUserDataComesFirstAndUnchanged(t *testing.T) {
	for name, test := range map[string]struct{ text, kind, encoding string }{
		"cloud-config":           {"#cloud-config\nruncmd: [a]\n", "text/cloud-config", ""},
		"a script":               {"#!/bin/sh\nexit 0\n", "text/x-shellscript", ""},
		"an archive":             {"#cloud-config-archive\n- content: x\n", "text/cloud-config-archive", ""},
		"a patch":                {"#cloud-config-jsonp\n[]\n", "text/cloud-config-jsonp", ""},
		"a boothook":             {"#cloud-boothook\n#!/bin/sh\n", "text/cloud-boothook", ""},
		"an include":             {"#include\nhttp://example.org/\n", "text/x-include-url", ""},
		"an include once":        {"#include-once\nhttp://example.org/\n", "text/x-include-once-url", ""},
		"a part handler":         {"#part-handler\nimport x\n", "text/part-handler", ""},
		"a template":             {"## template: jinja\n#cloud-config\n", "text/jinja2", ""},
		"capital letters":        {"#Cloud-Config\n{}\n", "text/cloud-config", ""},
		"other characters":       {"#!/bin/sh\necho grün €\n", "text/x-shellscript", "base64"},
		"Windows line ends":      {"#!/bin/sh\r\necho\r\n", "text/x-shellscript", "base64"},
		"no end of line":         {"#cloud-config\nruncmd: [a]", "text/cloud-config", ""},
		"bytes that are no text": {"#!/bin/sh\n\xff\x00\n", "text/x-shellscript", "base64"},
		"a long text":            {"#!/bin/sh\n# ü" + strings.Repeat("x", 1000), "text/x-shellscript", "base64"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.UserData = []byte(test.text)
			found := pieces(t, c)
			require.Len(t, found, 2)
			assert.Equal(t, piece{test.kind, test.encoding, test.text}, found[0])
			assert.Contains(t, cloudConfig(t, found[1]), "users")
		})
	}
	c := config()
	c.UserData = []byte("\n\t#!/bin/sh\n")
	assert.Equal(t, "#!/bin/sh\n", pieces(t, c)[0].body, "a script starts with #!")
	c.UserData = []byte(" \n")
	assert.Len(t, pieces(t, c), 1)
}

func TestTheLinesOfBase64AreShort(t *testing.T) {
	c := config()
	c.UserData = []byte("#!/bin/sh\n# ü" + strings.Repeat("x", 5000))
	for line := range strings.Lines(contents(t, build(t, c))["user-data"]) {
		assert.Less(t, len(line), 200)
	}
}

const message = `Content-Type: multipart/mixed; boundary="===1==="
MIME-Version: 1.0

--===1===
Content-Type: text/cloud-config; charset="us-ascii"
Merge-Type: dict(recurse_array)+list(append)
Content-Disposition: attachment; filename="mine.cfg"

#cloud-config
runcmd: [a]
--===1===
Content-Type: text/x-shellscript
Content-Transfer-Encoding: base64

IyEvYmluL3NoCmVjaG8gZ3LDvG4K
--===1===
Content-Type: text/x-shellscript

#!/bin/sh
echo grün
--===1===
Content-Type: multipart/mixed; boundary=inner

--inner
Content-Type: text/cloud-boothook

#cloud-boothook
ä
--inner--
--===1===--
`

func TestThePartsOfAMessageStayApart(t *testing.T) {
	c := config()
	c.UserData = []byte(message)
	found := pieces(t, c)
	require.Len(t, found, 5)
	assert.Equal(t, []piece{
		{"text/cloud-config", "", "#cloud-config\nruncmd: [a]"},
		{"text/x-shellscript", "base64", "#!/bin/sh\necho grün\n"},
		{"text/x-shellscript", "base64", "#!/bin/sh\necho grün"},
		{"multipart/mixed", "", "--inner\nContent-Type: text/cloud-boothook\n\n#cloud-boothook\nä\n--inner--"},
	}, found[:4])
	raw := contents(t, build(t, c))["user-data"]
	assert.Contains(t, raw, "Merge-Type: dict(recurse_array)+list(append)\r\n")
	assert.Contains(t, raw, `filename="mine.cfg"`)

	c.UserData = []byte("MIME-Version: 1.0\nContent-Type: text/x-shellscript\nX-Other: a\n\n#!/bin/sh\n")
	found = pieces(t, c)
	require.Len(t, found, 2)
	assert.Equal(t, piece{"text/x-shellscript", "", "#!/bin/sh\n"}, found[0])
}

// processed is what testdata/process.py prints.
type processed struct {
	Meta    map[string]string `json:"meta"`
	Network map[string]any    `json:"network"`
	Config  map[string]any    `json:"config"`
	Users   map[string]any    `json:"users"`
	Parts   []struct{ Type, Body string }
}

// process gives a seed to cloud-init's own code.
func process(t *testing.T, c cloudinit.Config) (found processed) {
	t.Helper()
	script, err := os.ReadFile(program(t, "cloud-init"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(script), "\n")
	python, ok := strings.CutPrefix(first, "#!")
	if !ok || !strings.Contains(python, "python") {
		t.Skip("cloud-init does not tell its Python")
	}
	dir := t.TempDir()
	for name, content := range contents(t, build(t, c)) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	cmd := exec.Command(strings.TrimSpace(python), filepath.Join("testdata", "process.py"), dir)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	require.NoError(t, err, "%s", problems.String())
	require.Empty(t, problems.String(), "warnings of cloud-init")
	require.NoError(t, json.Unmarshal(out, &found), "%s", out)
	return found
}

func TestCloudInitMergesBothUserLists(t *testing.T) {
	keys, err := cloudinit.GenerateHostKeys()
	require.NoError(t, err)
	c := config()
	c.HostKeys = keys
	c.NetworkConfig = []byte("version: 2\nethernets: {}\n")
	c.UserData = []byte(`#cloud-config
hostname: theirs
users:
  - name: bob
    groups: [wheel]
  - name: admin
    shell: /bin/zsh
    sudo: false
    ssh_authorized_keys: [lost]
runcmd:
  - [echo, "grün €"]
ssh_deletekeys: false
ssh_keys:
  rsa_private: theirs
write_files: [{path: /a, content: b}]
`)
	found := process(t, c)
	assert.Equal(t, "web-1", found.Meta["local-hostname"])
	assert.EqualValues(t, 2, found.Network["version"])
	admin := map[string]any{
		"ssh_authorized_keys": []any{publicKey}, "sudo": "ALL=(ALL) NOPASSWD:ALL", "lock_passwd": true,
		"shell": "/bin/zsh", "default": false,
	}
	assert.Equal(t, admin, found.Users["admin"])
	assert.Equal(t, map[string]any{"groups": []any{"wheel"}, "default": false}, found.Users["bob"])
	assert.Contains(t, found.Users, "debian", "the user of the image")
	assert.Equal(t, "theirs", found.Config["hostname"])
	assert.Equal(t, []any{[]any{"echo", "grün €"}}, found.Config["runcmd"])
	assert.Equal(t, true, found.Config["ssh_deletekeys"])
	assert.Equal(t, map[string]any{
		"ed25519_private": string(keys[0].PrivateKey()), "ed25519_public": keys[0].Public,
		"ecdsa_private": string(keys[1].PrivateKey()), "ecdsa_public": keys[1].Public,
	}, found.Config["ssh_keys"])
	assert.Contains(t, found.Config, "write_files")
	assert.Equal(t, "localhost", found.Config["manage_etc_hosts"])
	assert.NotContains(t, found.Config, "merge_how")
	c.UserData = []byte("#cloud-config\nmanage_etc_hosts: false\n")
	assert.Equal(t, false, process(t, c).Config["manage_etc_hosts"])
}

func TestCloudInitLetsTheConfiguredUserLogIn(t *testing.T) {
	for name, test := range map[string]struct{ user, userData string }{
		"another user":                     {"admin", ""},
		"the user of the image":            {"debian", ""},
		"the user of the image, named too": {"debian", "#cloud-config\nusers: [default, {name: debian, groups: [wheel]}]\n"},
		"root":                             {"root", ""},
		"no list of users":                 {"admin", "#cloud-config\npackages: [nginx]\n"},
		"an empty list of users":           {"admin", "#cloud-config\nusers: []\n"},
		"the old key user":                 {"admin", "#cloud-config\nuser: {name: bob}\n"},
		"another way of merging":           {"admin", "#cloud-config\nmerge_how: dict(replace)+list(replace)\nusers: [{name: bob}]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.User.Name, c.UserData = test.user, []byte(test.userData)
			user, ok := process(t, c).Users[test.user].(map[string]any)
			require.True(t, ok)
			assert.Equal(t, []any{publicKey}, user["ssh_authorized_keys"])
			if test.user != "root" {
				assert.NotEmpty(t, user["sudo"])
			}
		})
	}
}

func TestCloudInitReadsThePartsOfAMessage(t *testing.T) {
	c := config()
	c.UserData = []byte(message)
	found := process(t, c)
	assert.Equal(t, []any{"a"}, found.Config["runcmd"])
	assert.Contains(t, found.Users, "admin")
	require.Len(t, found.Parts, 3)
	assert.Equal(t, "text/x-shellscript", found.Parts[0].Type)
	assert.Equal(t, "#!/bin/sh\necho grün\n", found.Parts[0].Body)
	assert.Equal(t, "#!/bin/sh\necho grün", found.Parts[1].Body)
	assert.Equal(t, "text/cloud-boothook", found.Parts[2].Type)
}

func TestCloudInitAcceptsTheSchema(t *testing.T) {
	cloudInit := program(t, "cloud-init")
	keys, err := cloudinit.GenerateHostKeys()
	require.NoError(t, err)
	c := config()
	for _, c.User.Name = range []string{"admin", "root"} {
		c.HostKeys = keys
		for _, found := range pieces(t, c) {
			path := writeFile(t, "user-data", []byte(found.body))
			out, err := exec.Command(cloudInit, "schema", "--config-file", path).CombinedOutput()
			require.NoError(t, err, "%s", out)
			assert.Contains(t, string(out), "Valid cloud-config")
			assert.NotContains(t, strings.ToLower(string(out)), "deprecat")
		}
	}
}

func TestTextsThatCloudInitWouldIgnoreAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"#cloud-config\npackages: [nginx":     "cloudInit.userData: it is not valid YAML, near line 1: did not find expected ',' or ']': cloud-init would ignore it",
		"#cloud-config\nruncmd:\n\t- date\n":  "cloudInit.userData: it is not valid YAML, near line 3: found character that cannot start any token: cloud-init would ignore it",
		"#cloud-config\na: b: c\n":            "cloudInit.userData: it is not valid YAML, near line 2: mapping values are not allowed in this context: cloud-init would ignore it",
		"#cloud-config\n- a\n":                "cloudInit.userData: it is not a YAML mapping: write keys with values, as in packages: [nginx]",
		"#cloud-config\na: 1\n---\nb: 2\n":    "cloudInit.userData: it has more than one YAML document: cloud-init would ignore all of them",
		"#cloud-config packages: [nginx]":     `cloudInit.userData: its keys are part of the comment in the first line: start a new line after #cloud-config (in HOCON: \n, or """ and a text of several lines)`,
		"# cloud-config\npackages: [nginx]\n": "cloudInit.userData: the first line is none that cloud-init knows: start with #cloud-config, with #! for a script, or with the header Content-Type of a MIME message",
	} {
		c := config()
		c.UserData = []byte(text)
		var invalid *cloudinit.ConfigError
		require.ErrorAs(t, c.Check(), &invalid, text)
		assert.EqualError(t, invalid, want)
		assert.ErrorContains(t, cloudinit.Build(io.Discard, c), want)
	}
	c := config()
	c.NetworkConfig = []byte("version: [2")
	require.ErrorContains(t, c.Check(), "cloudInit.networkConfig: it is not valid YAML")
}

func TestTextsThatCloudInitReadsAreAccepted(t *testing.T) {
	for _, text := range []string{
		"#cloud-config", "#cloud-config\n", "#cloud-config\n{}\n", "#cloud-config\n---\na: 1\n", "#cloud-config\na: 1\na: 2\n",
		"#cloud-config\n# only a comment\n", "#cloud-config\r\na: 1\r\n", "#!/bin/sh\na: b: c\n", "## template: jinja\n#cloud-config\n{{ a }}: {% b %}\n", "#cloud-config\nnull\n",
	} {
		c := config()
		c.UserData = []byte(text)
		assert.NoError(t, c.Check(), text)
	}
	c := config()
	c.User.AuthorizedKeys = nil
	require.NoError(t, c.Check(), "overcast adds its key later")
	require.Error(t, cloudinit.Build(io.Discard, c))
}
