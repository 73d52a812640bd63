package itest

import (
	"net"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"

	"github.com/overcast-go/overcast/fixture"
)

// logIn uses nothing of the project but the address.
func logIn(host *fixture.CloudHost) *ssh.Client {
	GinkgoHelper()
	pem, err := os.ReadFile(os.Getenv("LAB_SSH_KEY"))
	Expect(err).NotTo(HaveOccurred())
	key, err := ssh.ParsePrivateKey(pem)
	Expect(err).NotTo(HaveOccurred())
	client, err := ssh.Dial("tcp", net.JoinHostPort(host.HostName(), "22"), &ssh.ClientConfig{
		User:            "root",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		Timeout:         30 * time.Second,
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = client.Close() }) // fails if the guest has ended
	return client
}

// run has the guest's shell run a command that must succeed.
func run(client *ssh.Client, command string) string {
	GinkgoHelper()
	session, err := client.NewSession()
	Expect(err).NotTo(HaveOccurred())
	defer session.Close()
	out, err := session.CombinedOutput(command)
	Expect(err).NotTo(HaveOccurred(), "%s: %s", command, out)
	return string(out)
}

var _ = Describe("a cloned host", fast, func() {
	// Each process runs these on a clone of its own: which, is not decided
	// before it runs them.
	for _, which := range []string{"one process", "another process"} {
		It("accepts logins and writes, in "+which, func() {
			client := logIn(fixture.Host("nat_host"))
			run(client, "echo mine > /root/proof && sync")
			Expect(run(client, "cat /root/proof")).To(Equal("mine\n"))
			Expect(run(client, "grep ' / ' /proc/mounts")).To(HavePrefix("/dev/vda / ext4 rw"))
		})
	}

	It("runs commands and returns their results", func(ctx SpecContext) {
		result, err := fixture.Host("nat_host").Run(ctx, "echo hello; cat /etc/hostname >&2; exit 3")
		Expect(err).NotTo(HaveOccurred())
		Expect(result).To(Equal(fixture.Result{Stdout: "hello\n", Stderr: "guest\n", ExitCode: 3}))
	})

	It("uploads and downloads files", func(ctx SpecContext) {
		host := fixture.Host("nat_host")
		dir := GinkgoT().TempDir()
		there, back := filepath.Join(dir, "there"), filepath.Join(dir, "back")
		Expect(os.WriteFile(there, []byte("a\x00b\n"), 0o640)).To(Succeed())
		Expect(host.Upload(ctx, there, "/root/file")).To(Succeed())
		Expect(host.Download(ctx, "/root/file", back)).To(Succeed())
		Expect(os.ReadFile(back)).To(Equal([]byte("a\x00b\n")))
	})

	It("accepts connections by its label", func(ctx SpecContext) {
		conn, err := fixture.Host("nat_host").DialContext(ctx, "tcp", "nat_host:22")
		Expect(err).NotTo(HaveOccurred())
		defer conn.Close()
		banner := make([]byte, 4)
		Expect(conn.Read(banner)).To(Equal(4))
		Expect(string(banner)).To(Equal("SSH-"))
	})

	It("is set up once per process", func(ctx SpecContext) {
		before := fixture.Host("nat_host").HostName()
		again, err := fixture.SetUp(ctx, "nat_host")
		Expect(err).NotTo(HaveOccurred())
		Expect(again.HostName()).To(Equal(before))
	})

	It("has its own name, UUID and MAC addresses, and overlays of the base domain's disks", func() {
		macs := map[string]bool{}
		for _, clone := range clones("nat_host") {
			Expect(clone.UUID).NotTo(BeEmpty())
			for _, i := range clone.Devices.Interfaces {
				Expect(macs).NotTo(HaveKey(i.MAC.Address))
				macs[i.MAC.Address] = true
			}
			Expect(clone.Devices.Disks).To(HaveLen(1))
			disk := clone.Devices.Disks[0]
			Expect(disk.Source.File.File).To(HavePrefix(imageDir + "/overcast-nat_host-"))
			Expect(disk.BackingStore.Source.File.File).To(Equal(imageDir + "/my_base_domain.qcow2"))
			Expect(clone.Metadata.XML).To(ContainSubstring("my_base_domain"))
		}
		Expect(macs).NotTo(BeEmpty())
	})

	It("does not change the base domain when it writes", func(ctx SpecContext) {
		image := imageDir + "/my_base_domain.qcow2"
		before := contentOf(image)
		result, err := fixture.Host("nat_host").Run(ctx, "dd if=/dev/urandom of=/root/noise bs=1M count=4 2>&1 && sync")
		Expect(err).NotTo(HaveOccurred())
		Expect(result.ExitCode).To(BeZero(), result.Stdout)
		Expect(contentOf(image)).To(Equal(before))
	})
})
