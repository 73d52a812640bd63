package matchers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	. "github.com/overcast-go/overcast/matchers"
)

// In the examples the host "web" is an SSH server on this machine, and a failed
// assertion prints its message. Under Ginkgo it fails the spec.
func Example() {
	RegisterFailHandler(func(message string, _ ...int) { fmt.Println(message) })

	Expect(fixture.Host("web")).To(BeReachableOnSSH())
	Eventually(fixture.Host("web")).Should(HaveMounted("/proc"))
	Expect(fixture.Host("web")).NotTo(BeReachableOnSSH())
	// Output:
	// Expected
	//     web (127.0.0.1), as tester
	// not to be reachable by SSH
	// tried: log in and run true
	// found: logged in; the command exited with 0, stdout empty, stderr empty
	// attempts: 1
}

func ExampleBeReachableOnSSH() {
	Expect(fixture.Host("web")).To(BeReachableOnSSH())
	Expect(fixture.Host("web")).NotTo(BeReachableOnSSH().AsUser("stranger"))
	// Output:
}

func ExampleBeReachableOn() {
	port := fixture.Host("web").Port(exampleServer.Port())
	Expect(fixture.Host("web")).To(BeReachableOn(port))
	// Output:
}

func ExampleRespondToHTTP() {
	site := httptest.NewServer(http.FileServer(http.Dir(exampleServer.Dir)))
	defer site.Close()
	address, _ := url.Parse(site.URL)
	port, _ := strconv.Atoi(address.Port())

	Expect(fixture.Host("web")).To(RespondToHTTP(port, "/motd").WithBody(HavePrefix("Welcome")))
	Expect(fixture.Host("web")).To(RespondToHTTP(port, "/secret").WithStatus(404))
	// Output:
}

func ExampleHaveMounted() {
	Expect(fixture.Host("web")).To(HaveMounted("/proc").WithType("proc"))
	Expect(fixture.Host("web")).To(HaveMounted("/no/where").ReadOnly().WithType("9p").From("data"))
	// Output:
	// Expected
	//     web (127.0.0.1), as tester
	// to have /no/where mounted read-only, with type "9p", with source "data"
	// tried: cat /proc/mounts 2>/dev/null || cat /etc/mtab 2>/dev/null || mount
	// found: nothing is mounted at /no/where
	// attempts: 1
}

func ExampleHaveFile() {
	motd := filepath.Join(exampleServer.Dir, "motd")
	Expect(fixture.Host("web")).To(HaveFile(motd).WithMode(0o640).WithContent(ContainSubstring("Welcome")))
	Expect(fixture.Host("web")).NotTo(HaveFile("/no/such/file"))
	// Output:
}

func ExampleHaveProcess() {
	Expect(fixture.Host("web")).To(HaveProcess("matchers.test"))
	Expect(fixture.Host("web")).To(HaveProcess(HavePrefix(os.Args[0] + " -test.")))
	Expect(fixture.Host("web")).NotTo(HaveProcess("nginx"))
	// Output:
}

func ExampleHaveListeningPort() {
	Expect(fixture.Host("web")).To(HaveListeningPort(exampleServer.Port()))
	// Output:
}

func ExampleHaveService() {
	Eventually(fixture.Host("web")).Should(HaveService("nginx"))
	Expect(fixture.Host("web")).NotTo(HaveService("apache"))
	// Output:
}

func ExampleRunCommand() {
	Expect(fixture.Host("web")).To(RunCommand("echo hello").WithStdout("hello\n"))
	Expect(fixture.Host("web")).To(RunCommand("exit 3").WithExitCode(BeNumerically(">", 0)))
	Expect(fixture.Host("web")).To(RunCommand("echo disk full >&2; false"))
	// Output:
	// Expected
	//     web (127.0.0.1), as tester
	// to run a command successfully
	// tried: echo disk full >&2; false
	// found: exited with 1, stdout empty, stderr "disk full\n"
	// attempts: 1
}

func ExampleHaveAddressIn() {
	Expect(fixture.Host("web")).To(HaveAddressIn("127.0.0.0/8"))
	Expect(fixture.Host("web")).To(HaveAddressIn("192.168.122.0/24"))
	// Output:
	// Expected
	//     web (127.0.0.1)
	// to have an address in 192.168.122.0/24
	// tried: address of the host
	// found: [127.0.0.1]
	// attempts: 1
}

// A matcher also takes a value of another type with the method that it needs.
func ExampleBeCloneOf() {
	Expect(copied{}).To(BeCloneOf("my_base_domain"))
	Expect(fixture.Host("web")).To(BeCloneOf("my_base_domain"))
	// Output:
	// Expected
	//     web (127.0.0.1)
	// to be a clone of my_base_domain
	// tried: BaseDomain() of the host
	// found: its provider reports no base domain
	// attempts: 1
}

type copied struct{}

func (copied) BaseDomain() string { return "my_base_domain" }

// exampleServer is the SSH server of the host "web".
var exampleServer *sshtest.Server

// withExampleHost calls run with the host of the examples set up.
func withExampleHost(run func() int) int {
	t := &exampleRun{}
	defer t.end()
	RegisterFailHandler(func(message string, _ ...int) { fmt.Println(message) })
	commands := t.TempDir()
	t.write(filepath.Join(commands, "systemctl"), 0o755, "#!/bin/sh\n"+
		`case $* in *nginx*) printf 'LoadState=loaded\nActiveState=active\nSubState=running\n';;`+
		` *) printf 'LoadState=not-found\nActiveState=inactive\nSubState=dead\n';; esac`+"\n")
	exampleServer = sshtest.Start(t, sshtest.Config{Env: []string{"PATH=" + commands + ":" + os.Getenv("PATH")}})
	t.write(filepath.Join(exampleServer.Dir, "motd"), 0o640, "Welcome to web\n")
	setUp(t, "web", fmt.Sprintf(`web { hostname = "127.0.0.1", connection.url = %q }`, exampleServer.URL()))
	return run()
}

// exampleRun is the testing.TB of the examples' host.
type exampleRun struct {
	testing.TB
	cleanups []func()
}

func (r *exampleRun) Helper()                           {}
func (r *exampleRun) Cleanup(do func())                 { r.cleanups = append(r.cleanups, do) }
func (r *exampleRun) Setenv(name, value string)         { os.Setenv(name, value) }
func (r *exampleRun) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (r *exampleRun) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (r *exampleRun) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (r *exampleRun) FailNow()                          { panic("setting up the host of the examples failed") }

func (r *exampleRun) TempDir() string {
	dir, err := os.MkdirTemp("", "matchers")
	if err != nil {
		panic(err)
	}
	r.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (r *exampleRun) write(path string, mode os.FileMode, text string) {
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		panic(err)
	}
}

func (r *exampleRun) end() {
	for n := len(r.cleanups) - 1; n >= 0; n-- {
		r.cleanups[n]()
	}
}
