package cloudinit_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kdomanski/iso9660"
	"github.com/onsi/gomega/format"
	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// publicKey has no private key.
const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@example.org"

func config() cloudinit.Config {
	return cloudinit.Config{Hostname: "web-1", User: cloudinit.User{Name: "admin", AuthorizedKeys: []string{publicKey}}}
}

func build(t *testing.T, c cloudinit.Config) []byte {
	t.Helper()
	var seed bytes.Buffer
	require.NoError(t, cloudinit.Build(&seed, c))
	return seed.Bytes()
}

// contents returns the files of a seed by their names.
func contents(t *testing.T, seed []byte) map[string]string {
	t.Helper()
	image, err := iso9660.OpenImage(bytes.NewReader(seed))
	require.NoError(t, err)
	root, err := image.RootDir()
	require.NoError(t, err)
	children, err := root.GetChildren()
	require.NoError(t, err)
	found := map[string]string{}
	for _, child := range children {
		text, err := io.ReadAll(child.Reader())
		require.NoError(t, err)
		found[child.Name()] = string(text)
	}
	return found
}

// program returns the path of a program that may be in a folder for root.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", name)
	return ""
}

func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// linuxNames reads the root folder of an image as Linux does for one without
// extensions: names in lower case, without version, and without a dot at the
// end.
func linuxNames(t *testing.T, seed []byte) (names []string) {
	t.Helper()
	const sector, descriptor, rootRecord = 2048, 16 * 2048, 156
	require.Equal(t, "\x01CD001", string(seed[descriptor:descriptor+6]))
	record := seed[descriptor+rootRecord:]
	start := int(binary.LittleEndian.Uint32(record[2:])) * sector
	folder := seed[start : start+int(binary.LittleEndian.Uint32(record[10:]))]
	for len(folder) > 0 && folder[0] > 0 {
		name := string(folder[33 : 33+folder[32]])
		if name != "\x00" && name != "\x01" {
			names = append(names, strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(name), ";1"), "."))
		}
		folder = folder[folder[0]:]
	}
	return names
}

func TestTheSeedHasTheNamesThatCloudInitReads(t *testing.T) {
	c := config()
	assert.Equal(t, []string{"meta-data", "user-data"}, linuxNames(t, build(t, c)))
	c.NetworkConfig = []byte("version: 2\n")
	seed := build(t, c)
	assert.Equal(t, []string{"meta-data", "network-config", "user-data"}, linuxNames(t, seed))
	found := contents(t, seed)
	assert.Equal(t, "version: 2\n", found["network-config"])
	assert.True(t, strings.HasPrefix(found["user-data"], "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="))
}

func TestOtherProgramsReadTheSeed(t *testing.T) {
	c := config()
	c.NetworkConfig = []byte("version: 2\n")
	path := writeFile(t, "seed.iso", build(t, c))
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"blkid":   {[]string{"-p"}, []string{` LABEL="cidata"`, ` TYPE="iso9660"`}},
		"isoinfo": {[]string{"-f", "-i"}, []string{"/META-DATA;1\n", "/NETWORK-CONFIG;1\n", "/USER-DATA;1\n"}},
		"7z":      {[]string{"l", "-ba"}, []string{" meta-data\n", " network-config\n", " user-data\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(program(t, name), append(test.args, path)...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			for _, want := range test.want {
				if name == "isoinfo" {
					assert.Contains(t, strings.ToUpper(string(out)), want)
					continue
				}
				assert.Contains(t, string(out), want)
			}
		})
	}
}

func TestTheMetaDataNamesTheClone(t *testing.T) {
	read := func(c cloudinit.Config) (meta map[string]string) {
		t.Helper()
		require.NoError(t, json.Unmarshal([]byte(contents(t, build(t, c))["meta-data"]), &meta))
		return meta
	}
	first, second := read(config()), read(config())
	assert.Equal(t, "web-1", first["local-hostname"])
	assert.Regexp(t, `^overcast-[0-9a-f]{32}$`, first["instance-id"])
	assert.NotEqual(t, first["instance-id"], second["instance-id"])
	c := config()
	c.InstanceID = "mine"
	assert.Equal(t, "mine", read(c)["instance-id"])
}

func TestBuildRefusesWhatCloudInitCouldNotUse(t *testing.T) {
	for name, test := range map[string]struct {
		change      func(*cloudinit.Config)
		field, want string
	}{
		"host name":     {func(c *cloudinit.Config) { c.Hostname = "nat_host" }, "host name", `"nat_host" is not a host name: use letters, digits and hyphens`},
		"no host name":  {func(c *cloudinit.Config) { c.Hostname = "" }, "host name", `"" is not a host name: use letters, digits and hyphens`},
		"user":          {func(c *cloudinit.Config) { c.User.Name = "a b" }, "cloudInit.user", `"a b" is not a user name: use up to 32 lower-case letters, digits, hyphens and underscores, and a letter first`},
		"no key":        {func(c *cloudinit.Config) { c.User.AuthorizedKeys = nil }, "cloudInit.authorizedKeys", "no key is given, so that no login would be possible"},
		"a private key": {func(c *cloudinit.Config) { c.User.AuthorizedKeys = []string{publicKey, "geheim"} }, "cloudInit.authorizedKeys", "entry 2 is not a line of authorized_keys, as in: ssh-ed25519 AAAA... me@example.org"},
		"two keys in a line": {func(c *cloudinit.Config) { c.User.AuthorizedKeys = []string{publicKey + "\n" + publicKey} }, "cloudInit.authorizedKeys",
			"entry 1 is not a line of authorized_keys, as in: ssh-ed25519 AAAA... me@example.org"},
		"instance ID": {func(c *cloudinit.Config) { c.InstanceID = "a b" }, "instance ID", `"a b" contains other characters than letters, digits and . _ -`},
		"user data": {func(c *cloudinit.Config) { c.UserData = []byte("geheim: x\n") }, "cloudInit.userData",
			"the first line is none that cloud-init knows: start with #cloud-config, with #! for a script, or with the header Content-Type of a MIME message"},
		"MIME without a boundary": {func(c *cloudinit.Config) {
			c.UserData = []byte("Content-Type: multipart/mixed; boundary=a\n\n--b\n\n#cloud-config\n--b--\n")
		}, "cloudInit.userData", "part 1 of the MIME message cannot be read: check the boundary, which the header Content-Type names"},
		"MIME that is cut off": {func(c *cloudinit.Config) {
			c.UserData = []byte("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/cloud-config\n\n#cloud-config\n")
		}, "cloudInit.userData", "part 1 of the MIME message is cut off"},
		"a bad Content-Type": {func(c *cloudinit.Config) { c.UserData = []byte("Content-Type: ;;\n\nx\n") }, "cloudInit.userData", "the header Content-Type is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			test.change(&c)
			var out bytes.Buffer
			err := cloudinit.Build(&out, c)
			var refused *cloudinit.ConfigError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, cloudinit.ConfigError{Field: test.field, Problem: test.want}, *refused)
			assert.Equal(t, "building the cloud-init seed: "+test.field+": "+test.want, err.Error())
			assert.Zero(t, out.Len())
		})
	}
}

func TestTheStagingFolderIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	build(t, config())
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestHostnamesOfLabels(t *testing.T) {
	for label, want := range map[string]string{
		"web": "web", "nat_host": "nat-host", "Web.1": "web-1", "_a__b_": "a-b", "Größe": "gr-e", "__": "clone", "": "clone",
		strings.Repeat("a", 62) + "_b": strings.Repeat("a", 62), strings.Repeat("b", 70): strings.Repeat("b", 63),
	} {
		assert.Equal(t, want, cloudinit.Hostname(label))
		c := config()
		c.Hostname = cloudinit.Hostname(label)
		build(t, c)
	}
}

func TestNothingPrintsUserDataOrPrivateKeys(t *testing.T) {
	keys, err := cloudinit.GenerateHostKeys()
	require.NoError(t, err)
	c := config()
	c.HostKeys, c.UserData = keys, []byte("#cloud-config\npassword: geheim\n")
	secret := fmt.Sprint([]byte("geheim"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		assert.NotContains(t, fmt.Sprintf(verb, c), "geheim")
		assert.NotContains(t, fmt.Sprintf(verb, c), secret[1:len(secret)-1])
		for _, text := range []string{fmt.Sprintf(verb, keys), fmt.Sprintf(verb, keys[0]), fmt.Sprintf(verb, struct{ hidden any }{keys[1]})} {
			assert.NotContains(t, text, "PRIVATE")
			assert.NotContains(t, text, fmt.Sprintf("%x", "PRIVATE"))
			assert.NotContains(t, text, strings.Trim(fmt.Sprint([]byte("PRIVATE")), "[]"))
		}
	}
	assert.NotContains(t, format.Object(c, 1), "geheim")
	assert.NotContains(t, format.Object(keys, 1), "PRIVATE")
}
