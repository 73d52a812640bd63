package hocon_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/overcast-go/overcast/hocon"
)

func Example() {
	doc, err := hocon.Parse(context.Background(), "overcast.conf", []byte(`
		nat_host {
			libvirtURL = "qemu+ssh://user@linux-box/system"
			SSH.url = "ssh://user@linux-box?privateKeyFile="${user.home}"/.ssh/id_rsa"
			SSH.timeout = 30
		}
	`), nil)
	if err != nil {
		panic(err)
	}
	properties := map[string]string{"user.home": "/home/me"}
	root, err := doc.Resolve(context.Background(), &hocon.ResolveOptions{Properties: properties})
	if err != nil {
		panic(err)
	}
	url, _ := root.Lookup("nat_host.SSH.url")
	text, err := url.Text()
	fmt.Println(text, err)
	fmt.Println(url.Path(), "is a", url)
	// Output:
	// ssh://user@linux-box?privateKeyFile=/home/me/.ssh/id_rsa <nil>
	// nat_host.SSH.url is a string at overcast.conf:4:14
}

func ExampleValue_Decode() {
	type ssh struct {
		URL     string        `hocon:"url,required,secret"`
		Timeout time.Duration `hocon:"timeout"`
	}
	type host struct {
		BaseDomain string `hocon:"libvirtBaseDomain,alias=baseDomain"`
		SSH        *ssh   `hocon:"SSH"`
	}
	root := mustResolve(`
baseDomain = my_base_domain
SSH {
    url = "ssh://user:secret@linux-box"
    timeout = 2 minutes
}`)
	var h host
	err := root.Decode(&h)
	fmt.Println(h.BaseDomain, h.SSH.Timeout, err)

	err = mustResolve("libvirtBaseDomian = x\nSSH { timeout = soon }").Decode(&h)
	fmt.Println(err)
	// Output:
	// my_base_domain 2m0s <nil>
	// overcast.conf:1:1: unknown key "libvirtBaseDomian", did you mean "libvirtBaseDomain"?
	// overcast.conf:2:1: SSH: "url" is required but missing
	// overcast.conf:2:17: SSH.timeout: "soon" is not a number of seconds or a duration, such as 30 or 2 minutes
}

func ExampleParseFile() {
	files := fstest.MapFS{
		"hosts/all.conf":      {Data: []byte(`nat_host { include "common" }`)},
		"hosts/common.conf":   {Data: []byte(`url = "qemu+ssh://"${user}"@linux-box/system", user = root`)},
		"hosts/common.json":   {Data: []byte(`{"user": "admin", "cpus": 2}`)},
		"hosts/other.bak":     {Data: []byte(`not included, so not read`)},
		"hosts/unused/x.conf": {Data: []byte(`also not read`)},
	}
	doc, err := hocon.ParseFile(context.Background(), "hosts/all.conf", &hocon.ParseOptions{FS: files})
	if err != nil {
		panic(err)
	}
	root, err := doc.Resolve(context.Background(), nil)
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(root)
	fmt.Println(string(text), err)
	// Output:
	// {"nat_host":{"user":"root","cpus":2,"url":"qemu+ssh://root@linux-box/system"}} <nil>
}

func ExampleCycleError() {
	doc, err := hocon.Parse(context.Background(), "overcast.conf", []byte("a = ${b}\nb = ${c}\nc = ${a}"), nil)
	if err != nil {
		panic(err)
	}
	_, err = doc.Resolve(context.Background(), nil)
	var cycle *hocon.CycleError
	fmt.Println(errors.As(err, &cycle), err)
	// Output:
	// true overcast.conf:1:5: substitutions form a cycle: ${b} (overcast.conf:1:5) -> ${c} (overcast.conf:2:5) -> ${a} (overcast.conf:3:5) -> ${b}
}

func ExampleResolveOptions() {
	doc, err := hocon.Parse(context.Background(), "overcast.conf", []byte(`home = ${HOME}, hosts = ${HOSTS[]}, shell = ${?SHELL}`), nil)
	if err != nil {
		panic(err)
	}
	env := map[string]string{"HOME": "/home/me", "HOSTS_0": "a", "HOSTS_1": "b"}
	root, err := doc.Resolve(context.Background(), &hocon.ResolveOptions{Env: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}})
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(root)
	fmt.Println(string(text), err)
	// Output:
	// {"home":"/home/me","hosts":["a","b"]} <nil>
}

func ExampleDocument_WithFallback() {
	ctx := context.Background()
	defaults, err := hocon.Parse(ctx, "defaults.conf", []byte("user = root, web { url = \"ssh://\"${user}\"@web\", memory = 512M }"), nil)
	if err != nil {
		panic(err)
	}
	own, err := hocon.Parse(ctx, "overcast.conf", []byte("user = admin, web.memory = 1G"), nil)
	if err != nil {
		panic(err)
	}
	root, err := own.WithFallback(defaults).Resolve(ctx, nil)
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(root)
	fmt.Println(string(text), err)
	memory, _ := root.Lookup("web.memory")
	bytes, err := memory.Bytes()
	fmt.Println(bytes, err, memory.Position())
	// Output:
	// {"user":"admin","web":{"url":"ssh://admin@web","memory":"1G"}} <nil>
	// 1073741824 <nil> overcast.conf:1:28
}

func ExampleDocument_MissingIncludes() {
	doc, err := hocon.Parse(context.Background(), "overcast.conf", []byte("a = 1\ninclude \"undefined.conf\""), nil)
	if err != nil {
		panic(err)
	}
	for _, missing := range doc.MissingIncludes() {
		fmt.Println(missing)
	}
	// Output:
	// overcast.conf:2:1: cannot include "undefined.conf": there is no undefined.conf
}

func ExampleSyntaxError() {
	_, err := hocon.Parse(context.Background(), "overcast.conf", []byte("web {\n  SSH { timeout = 30\n}\n"), nil)
	var syntax *hocon.SyntaxError
	fmt.Println(errors.As(err, &syntax), err)
	// Output:
	// true overcast.conf:4:1: expected a key or '}', found the end of the file: the '{' at overcast.conf:1:5 is not closed
}

func mustResolve(text string) *hocon.Value {
	doc, err := hocon.Parse(context.Background(), "overcast.conf", []byte(text), nil)
	if err != nil {
		panic(err)
	}
	root, err := doc.Resolve(context.Background(), nil)
	if err != nil {
		panic(err)
	}
	return root
}
