package hocon_test

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type decodeSSH struct {
	URL        string        `hocon:"url,required"`
	Timeout    time.Duration `hocon:"timeout"`
	Passphrase int           `hocon:"passphrase,secret"`
}

type decodeCommon struct {
	Scope string `hocon:"scope"`
}

type decodeHost struct {
	decodeCommon
	BaseDomain string               `hocon:"libvirtBaseDomain,alias=baseDomain,alias=domain"`
	SSH        *decodeSSH           `hocon:"SSH"`
	Address    netip.Addr           `hocon:"address"`
	Ports      []uint16             `hocon:"ports"`
	Mapping    map[string]decodeSSH `hocon:"mapping"`
	Anything   *hocon.Value         `hocon:"anything"`
	Memory     hocon.Size           `hocon:"memory"`
	CPU        float64
	On         bool
	Ignored    string `hocon:"-"`
}

func resolve(t testing.TB, text string) *hocon.Value {
	t.Helper()
	doc, err := hocon.Parse(t.Context(), "overcast.conf", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := doc.Resolve(t.Context(), &hocon.ResolveOptions{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func noEnv(string) (string, bool) { return "", false }

func TestDecode(t *testing.T) {
	v := resolve(t, `
scope = suite, baseDomain = my_base_domain, address = 10.0.0.1, ports { 0 = 22, 1 = "80" }
SSH { url = "ssh://x", timeout = 2 minutes }
mapping { data { url = /data, timeout = "30" }, none = null }
anything { extra = [1, 2] }, cPU = 1.5, on = yes, memory = 512M
`)
	host := decodeHost{On: true, Ignored: "stays"}
	if err := v.Decode(&host); err != nil {
		t.Fatal(err)
	}
	want := decodeHost{
		decodeCommon: decodeCommon{Scope: "suite"}, BaseDomain: "my_base_domain",
		SSH: &decodeSSH{URL: "ssh://x", Timeout: 2 * time.Minute}, Address: netip.MustParseAddr("10.0.0.1"),
		Ports: []uint16{22, 80}, Mapping: map[string]decodeSSH{"data": {URL: "/data", Timeout: 30 * time.Second}},
		Anything: host.Anything, Memory: 512 << 20, CPU: 1.5, On: true, Ignored: "stays",
	}
	if !reflect.DeepEqual(host, want) {
		t.Errorf("got %+v, want %+v", host, want)
	}
	if keys := host.Anything.Keys(); !reflect.DeepEqual(keys, []string{"extra"}) {
		t.Errorf("anything has the keys %v", keys)
	}
}

func TestDecodeKeepsDefaults(t *testing.T) {
	host := decodeHost{BaseDomain: "default", SSH: &decodeSSH{URL: "u", Timeout: time.Second}}
	if err := resolve(t, "libvirtBaseDomain = null, SSH { url = v }").Decode(&host); err != nil {
		t.Fatal(err)
	}
	if host.BaseDomain != "default" || host.SSH.URL != "v" || host.SSH.Timeout != time.Second {
		t.Errorf("got %+v %+v", host, host.SSH)
	}
}

func TestDecodeErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"duration", "SSH { url = u\n    timeout = soon }", `overcast.conf:2:15: SSH.timeout: "soon" is not a number of seconds or a duration, such as 30 or 2 minutes`},
		{"misspelt", "\n  libvirtBaseDomian = x", `overcast.conf:2:3: unknown key "libvirtBaseDomian", did you mean "libvirtBaseDomain"?`},
		{"misspelt below", "SSH { url = u, timeuot = 1 }", `overcast.conf:1:16: SSH: unknown key "timeuot", did you mean "timeout"?`},
		{"unknown", "zebra = x", `overcast.conf:1:1: unknown key "zebra"`},
		{"required", "\nSSH { timeout = 1 }", `overcast.conf:2:1: SSH: "url" is required but missing`},
		{"synonyms", "baseDomain = x\nlibvirtBaseDomain = y", `overcast.conf:2:1: key "libvirtBaseDomain" means the same as "baseDomain", which is set at overcast.conf:1:1: remove one of them`},
		{"secret", "SSH { url = u, passphrase = bigsecret }", `overcast.conf:1:29: SSH.passphrase: the value (hidden) is not a whole number`},
		{"text", "address = nowhere", `overcast.conf:1:11: address: "nowhere" is not an IP address`},
		{"range", "ports = [22, 70000]", `overcast.conf:1:14: ports[1]: 70000 is negative or does not fit 16 bits`},
		{"size", "memory = 1 bit", `overcast.conf:1:10: memory: "1 bit" is not a number of bytes or a size, such as 512 MiB or 20 GB`},
		{"type", "SSH = 3", `overcast.conf:1:7: SSH: 3 is not an object`},
		{"all", "on = maybe\nSSH = 3\nzebra = x", "overcast.conf:1:6: on: \"maybe\" is not true or false\novercast.conf:2:7: SSH: 3 is not an object\novercast.conf:3:1: unknown key \"zebra\""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := resolve(t, test.text).Decode(new(decodeHost))
			if err == nil || err.Error() != test.want {
				t.Errorf("\n got: %v\nwant: %s", err, test.want)
			}
			var value *hocon.ValueError
			if !errors.As(err, &value) || !strings.HasPrefix(err.Error(), value.Position().String()) {
				t.Errorf("%#v is not a ValueError with the position", err)
			}
		})
	}
}

type decodeLogins struct {
	Given *decodeLogin            `hocon:"given,secret"`
	Map   map[string]*decodeLogin `hocon:"map"`
	Value *hocon.Value            `hocon:"value,secret"`
	Plain time.Duration           `hocon:"plain"`
	IP    netip.Addr              `hocon:"ip"`
}

type decodeLogin struct {
	Timeout time.Duration `hocon:"timeout"`
	Pin     int           `hocon:"pin,secret"`
}

// Errors do not contain the value of a secret field, or what looks like a URL
// with a password.
func TestDecodeErrorsShowNoSecrets(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"in place of a section", `given = bigsecret`, `overcast.conf:1:9: given: the value (hidden) is not an object`},
		{"secret in a section", `given.pin = bigsecret`, `overcast.conf:1:13: given.pin: the value (hidden) is not a whole number`},
		{"not secret, in a section", `given.timeout = soon`, `overcast.conf:1:17: given.timeout: "soon" is not a number of seconds or a duration, such as 30 or 2 minutes`},
		{"URL", `plain = "ssh://u:bigsecret@h"`, `overcast.conf:1:9: plain: the value (hidden) is not a number of seconds or a duration, such as 30 or 2 minutes`},
		{"URL with a passphrase", `plain = "ssh://h?PassPhrase=bigsecret"`, `overcast.conf:1:9: plain: the value (hidden) is not a number of seconds or a duration, such as 30 or 2 minutes`},
		{"parameter", `plain = "suPassword=bigsecret"`, `overcast.conf:1:9: plain: the value (hidden) is not a number of seconds or a duration, such as 30 or 2 minutes`},
		{"URL for a text", `ip = "ssh://u:bigsecret@h"`, `overcast.conf:1:6: ip: the value (hidden) is not an IP address`},
		{"harmless URL", `plain = "ssh://host"`, `overcast.conf:1:9: plain: "ssh://host" is not a number of seconds or a duration, such as 30 or 2 minutes`},
		{"URL as a key", `"ssh://u:bigsecret@h" = 1`, `overcast.conf:1:1: unknown key (hidden): it looks like a URL or a password`},
		{"URL in a path", `map { "ssh://u:bigsecret@h" { timeout = soon } }`, `overcast.conf:1:41: map: "soon" is not a number of seconds or a duration, such as 30 or 2 minutes`},
		{"harmless URL in a path", `map { "ssh://h" { timeout = soon } }`, `overcast.conf:1:29: map."ssh://h".timeout: "soon" is not a number of seconds or a duration, such as 30 or 2 minutes`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := resolve(t, test.text).Decode(new(decodeLogins))
			if err == nil || err.Error() != test.want {
				t.Errorf("\n got: %v\nwant: %s", err, test.want)
			}
		})
	}
}

// The values in a *Value that is secret are secret as well.
func TestDecodeKeepsValuesSecret(t *testing.T) {
	var logins decodeLogins
	if err := resolve(t, `value { pin = bigsecret }`).Decode(&logins); err != nil {
		t.Fatal(err)
	}
	pin, _ := logins.Value.Get("pin")
	if _, err := pin.Int(); err == nil || strings.Contains(err.Error(), "bigsecret") {
		t.Errorf("got %v", err)
	}
}

func TestDecodeKnownAcceptsUnknownKeysOfTheValueOnly(t *testing.T) {
	doc, err := hocon.Parse(t.Context(), "a.conf", []byte("name = web, other = 1, inner { size = 2, odd = 3 }"), nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := doc.Resolve(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Name  string
		Inner struct{ Size int }
	}
	err = root.DecodeKnown(&got)
	if err == nil || err.Error() != `a.conf:1:42: inner: unknown key "odd"` {
		t.Errorf("DecodeKnown: %v", err)
	}
	if got.Name != "web" || got.Inner.Size != 2 {
		t.Errorf("DecodeKnown: %+v", got)
	}
}

func TestInvalidPointsAtTheValue(t *testing.T) {
	doc, err := hocon.Parse(t.Context(), "a.conf", []byte("web {\n  size = 3\n}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := doc.Resolve(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	web, _ := root.Get("web")
	for path, want := range map[string]string{
		"size": "a.conf:2:10: web.size: is too small",
		"name": "a.conf:1:5: web.name: is too small",
	} {
		if got := web.Invalid(path, "is too %s", "small").Error(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := root.Invalid("web", "is odd").Error(); got != "a.conf:1:5: web: is odd" {
		t.Error(got)
	}
}

func TestSyntaxErrorsDoNotRepeatStrings(t *testing.T) {
	for _, text := range []string{
		`include "a" "hunter22"`,
		`{} "hunter22"`,
		`a = {} } "hunter22"`,
		`a = [1] : "hunter22"`,
		`ssh://me:hunter22@host = ]`,
		`a = ] password=hunter22`,
		`${"hunter22"`,
	} {
		_, err := hocon.Parse(t.Context(), "a.conf", []byte(text), nil)
		if err == nil {
			t.Errorf("%s: no error", text)
		} else if strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAValueThatIsNoArrayShowsTheExampleOfItsField(t *testing.T) {
	var got struct {
		Copy  []string `hocon:"copy" example:"[a, b]"`
		Plain []string
	}
	require.EqualError(t, resolve(t, "copy = a\nplain = b").Decode(&got), "overcast.conf:1:8: copy: \"a\" is not an array, such as [a, b]\novercast.conf:2:9: plain: \"b\" is not an array")
	require.NoError(t, resolve(t, "copy { 0 = x }, plain = null").Decode(&got))
	assert.Equal(t, []string{"x"}, got.Copy)
	require.NoError(t, resolve(t, "copy = null").Decode(&got))
}
