package itest

import (
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
)

// unmatched wants an assertion to fail with a message that has all of these.
func unmatched(host *fixture.CloudHost, matcher types.GomegaMatcher, parts ...string) {
	GinkgoHelper()
	failures := InterceptGomegaFailures(func() { Expect(host).To(matcher) })
	Expect(failures).To(HaveLen(1))
	for _, part := range append(parts, "\n    "+host.String(), "\nattempts: 1") {
		Expect(failures[0]).To(ContainSubstring(part))
	}
	GinkgoWriter.Println(failures[0])
}

// in has the host's shell run something that must succeed.
func in(ctx SpecContext, host *fixture.CloudHost, command string) {
	GinkgoHelper()
	result, err := host.Run(ctx, command)
	Expect(err).NotTo(HaveOccurred())
	Expect(result.ExitCode).To(BeZero(), "%s: %+v", command, result)
}

// Guests of the lab have busybox and nothing else.
// shortly is for an attempt that is given up.
const shortly = 500 * time.Millisecond

// itMatches is a spec about matchers, for a guest of any kind with an SSH server
// of this name. It waits, because an emulated guest may be busy.
func itMatches(host func() *fixture.CloudHost, server string) {
	It("matches its login, ports, mounts, files, processes and commands", func(ctx SpecContext) {
		in(ctx, host(), `echo content >"/root/it's a file" && chown nobody "/root/it's a file" && chmod 4750 "/root/it's a file"`)
		in(ctx, host(), `mkdir -p "/mnt/two words" && mount -t tmpfs -o ro "it's mine" "/mnt/two words"`)
		DeferCleanup(func(ctx SpecContext) { in(ctx, host(), `umount "/mnt/two words"; rm "/root/it's a file"`) })
		for _, matcher := range []OmegaMatcher{
			BeReachableOnSSH(),
			BeReachableOn(22),
			HaveListeningPort(22),
			Not(HaveListeningPort(81)),
			HaveMounted("/").WithType("ext4"),
			HaveMounted("/mnt/two words/").ReadOnly().WithType("tmpfs").From("it's mine"),
			HaveFile("/root/it's a file").WithContent("content\n").WithMode(0o4750).WithOwner("nobody"),
			HaveProcess(server),
			HaveProcess("kthreadd"),
			Not(HaveProcess("nginx")),
			RunCommand("uname -s").WithStdout("Linux\n"),
			RunCommand("echo no >&2; exit 3").WithExitCode(3).WithStderr("no\n"),
		} {
			Eventually(host()).WithTimeout(time.Minute).Should(matcher)
		}
	})
}

var _ = Describe("matchers", func() {
	var host *fixture.CloudHost
	BeforeEach(func() { host = fixture.Host("nat_host") })

	It("check the SSH login", func() {
		Expect(host).To(BeReachableOnSSH())
		unmatched(host, BeReachableOnSSH().AsUser("stranger"), `, as stranger`, `user "stranger" was refused`)
		unmatched(host, BeReachableOnSSH().OnPort(2), "to be reachable by SSH on port 2\n", "connection refused")
	})

	It("check the greeting of the SSH server if no login is configured", func(ctx SpecContext) {
		configure(`greeter { hostname = %q }`, host.HostName())
		greeter := up(ctx, "greeter")
		Expect(greeter).To(BeReachableOnSSH())
		Expect(greeter).NotTo(BeReachableOnSSH().OnPort(2))
	})

	It("check reachable and listening ports", func() {
		Expect(host).To(BeReachableOn(22).Within(10 * time.Second))
		unmatched(host, BeReachableOn(81), "to be reachable on port 81\n", "connection refused")
		Expect(host).To(HaveListeningPort(22).Within(10 * time.Second))
		unmatched(host, HaveListeningPort(81), "to have a listening port 81\n", "found: listening ports 22")
	})

	It("check the response of a web server", func(ctx SpecContext) {
		in(ctx, host, "mkdir -p /root/www && echo Welcome > /root/www/index.html")
		in(ctx, host, "httpd -p 8080 -h /root/www")
		Eventually(host).WithTimeout(time.Minute).Should(RespondToHTTP(8080, "/").WithStatus(200).WithBody("Welcome\n").Within(10 * time.Second))
		unmatched(host, RespondToHTTP(8080, "/nothing"), "GET http://"+host.HostName()+":8080/nothing\n", "found: status 404 Not Found")
		unmatched(host, RespondToHTTP(8081, "/"), "connection refused")
		Expect(host).To(HaveProcess("httpd").Within(10 * time.Second))
	})

	It("check mounts", func(ctx SpecContext) {
		Expect(host).To(HaveMounted("/").WithType("ext4").From("/dev/vda").Within(10 * time.Second))
		Expect(host).To(HaveMounted("/proc").WithType(Equal("proc")).Within(10 * time.Second))
		unmatched(host, HaveMounted("/data"), "nothing is mounted at /data")
		unmatched(host, HaveMounted("/").ReadOnly(), "it is not read-only: /dev/vda on / type ext4 (rw")
		in(ctx, host, `mkdir -p "/mnt/two words" && mount -t tmpfs -o ro "it's mine" "/mnt/two words"`)
		DeferCleanup(func(ctx SpecContext) { in(ctx, host, `umount "/mnt/two words"`) })
		Expect(host).To(HaveMounted("/mnt/two words/").ReadOnly().WithType("tmpfs").From("it's mine").Within(10 * time.Second))
	})

	It("check mounts of folders of the hypervisor", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "hello"), []byte("from outside"), 0o644)).To(Succeed())
		for folder := dir; folder != filepath.Clean(os.TempDir()); folder = filepath.Dir(folder) {
			Expect(os.Chmod(folder, 0o755)).To(Succeed()) // for the user that QEMU runs as
		}
		configure(`shares = ${guest} { fsMapping { docs { hostPath = %q, readOnly = true }, mine { hostPath = %[1]q, readOnly = false, accessMode = Mapped }, any { hostPath = %[1]q, accessMode = SQUASH } } }`, dir)
		shares := up(ctx, "shares")
		Expect(shares).NotTo(HaveMounted("/docs").Within(10 * time.Second))
		in(ctx, shares, "mkdir -p /docs /mine /any && mount -t 9p -o trans=virtio,version=9p2000.L,ro docs /docs && mount -t 9p -o trans=virtio,version=9p2000.L mine /mine && mount -t 9p -o trans=virtio,ro any /any")
		Expect(shares).To(HaveMounted("/docs").ReadOnly().WithType("9p").From("docs").Within(10 * time.Second))
		Expect(shares).To(HaveMounted("/mine").WithType("9p").From("mine").Within(10 * time.Second))
		Expect(shares).NotTo(HaveMounted("/mine").ReadOnly().Within(10 * time.Second))
		Expect(shares).To(HaveMounted("/any").ReadOnly().WithType("9p").From("any").Within(10 * time.Second))
		Expect(shares).To(HaveFile("/docs/hello").WithContent("from outside").Within(10 * time.Second))
		unmatched(shares, HaveMounted("/docs").From("mine"), "docs on /docs type 9p (ro,")
		in(ctx, shares, "umount /docs /mine /any")
	})

	It("check the content, mode and owner of files", func(ctx SpecContext) {
		in(ctx, host, `echo content > "/root/it's a file" && chown nobody "/root/it's a file" && chmod 4750 "/root/it's a file"`)
		Expect(host).To(HaveFile("/root/it's a file").WithContent("content\n").WithMode(0o4750).WithOwner("nobody").Within(10 * time.Second))
		unmatched(host, HaveFile("/root/it's a file").WithMode(0o750), `found: it has mode urwxr-x---`)
		unmatched(host, HaveFile("/root/it's a file").WithOwner("root"), "<string>: nobody")
		unmatched(host, HaveFile("/root/it's a file").WithContent(ContainSubstring("more")), "to contain substring")
		unmatched(host, HaveFile("/root/nothing"), "no such file")
		unmatched(host, HaveFile("/root"), "it is a folder")
	})

	It("check processes", func() {
		Expect(host).To(HaveProcess("dropbear").Within(10 * time.Second))
		Expect(host).To(HaveProcess(ContainSubstring("dropbear -")).Within(10 * time.Second))
		Expect(host).To(HaveProcess("kthreadd").Within(10 * time.Second))
		unmatched(host, HaveProcess("nginx"), "to have a process nginx\n", "other processes")
		unmatched(host, HaveProcess("tail"), "to have a process tail\n")
	})

	It("return an error for a guest without systemd and OpenRC", func() {
		unmatched(host, HaveService("dropbear"), "cannot check\n", "last error: the host has neither a running systemd nor OpenRC\n")
		Expect(InterceptGomegaFailures(func() { Expect(host).NotTo(HaveService("dropbear")) })).To(HaveLen(1), "it is not known")
	})

	It("check exit codes and outputs of commands", func() {
		Expect(host).To(RunCommand("uname -s").WithStdout("Linux\n").Within(10 * time.Second))
		Expect(host).To(RunCommand("echo no >&2; exit 3").WithExitCode(3).WithStderr("no\n").Within(10 * time.Second))
		unmatched(host, RunCommand("ls /nothing"), "tried: ls /nothing\n", "exited with 1", "No such file or directory")
		unmatched(host, RunCommand("sleep 60").Within(shortly), "last error: ", "no answer within "+shortly.String())
	})

	It("check the address and the base domain", func() {
		Expect(host).To(HaveAddressIn("192.168.122.0/24"))
		unmatched(host, HaveAddressIn("192.168.123.0/24"), "found: ["+host.HostName()+"]")
		Expect(host).To(BeCloneOf("my_base_domain"))
		unmatched(host, BeCloneOf("lab-static"), "found: it is a clone of my_base_domain")
	})

	It("fail both To and NotTo for a host that has stopped", func(ctx SpecContext) {
		configure(`leaving = ${guest}`)
		leaving := up(ctx, "leaving")
		Expect(leaving).NotTo(HaveMounted("/data").Within(10 * time.Second))
		for _, clone := range clones("leaving") {
			virsh("destroy", clone.Name)
		}
		Eventually(leaving.Exited).WithTimeout(10 * time.Second).Should(HaveOccurred())
		Expect(leaving).NotTo(BeReachableOnSSH())
		stopped := ContainSubstring("the host does not run: ")
		Expect(InterceptGomegaFailures(func() { Expect(leaving).NotTo(HaveMounted("/data")) })).
			To(ConsistOf(And(HavePrefix("cannot check\n    "+leaving.String()), stopped)))
		Expect(InterceptGomegaFailures(func() { Eventually(leaving).WithTimeout(time.Minute).ShouldNot(HaveMounted("/data")) })).
			To(ConsistOf(And(HavePrefix("Told to stop trying"), stopped)))
		Expect(InterceptGomegaFailures(func() { Eventually(leaving).WithTimeout(time.Minute).Should(BeReachableOn(22)) })).
			To(ConsistOf(And(HavePrefix("No future change is possible."), stopped)))
	})
})
