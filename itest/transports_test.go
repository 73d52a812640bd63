package itest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

// relayed answers with where the lab's libvirtd can be reached by TCP for the
// length of a spec: its protocol is the same on every socket. greet is called
// with each connection first.
func relayed(listen func() (net.Listener, error), greet func(net.Conn) error) (address string) {
	GinkgoHelper()
	listener, err := listen()
	Expect(err).NotTo(HaveOccurred())
	var all sync.WaitGroup
	DeferCleanup(func() {
		listener.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { relay(conn, greet) })
		}
	})
	return listener.Addr().String()
}

func relay(conn net.Conn, greet func(net.Conn) error) {
	defer conn.Close()
	if greet(conn) != nil {
		return
	}
	daemon, err := net.Dial("unix", "/run/libvirt/libvirt-sock")
	if err != nil {
		return
	}
	defer daemon.Close()
	var both sync.WaitGroup
	both.Go(func() {
		io.Copy(daemon, conn)
		daemon.Close()
	})
	io.Copy(conn, daemon)
	conn.Close()
	both.Wait()
}

// keys makes, in a folder, what a client needs, and answers with what its server
// does: an authority that has signed one certificate for both.
func keys(dir string) tls.Certificate {
	GinkgoHelper()
	form := func(number int64, authority bool) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(number), Subject: pkix.Name{CommonName: "lab"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: authority, BasicConstraintsValid: true,
			KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	authority, one := form(1, true), form(2, false)
	files := map[string]*pem.Block{}
	for name, certificate := range map[string]*x509.Certificate{"cacert.pem": authority, "clientcert.pem": one} {
		der, err := x509.CreateCertificate(rand.Reader, certificate, authority, &key.PublicKey, key)
		Expect(err).NotTo(HaveOccurred())
		files[name] = &pem.Block{Type: "CERTIFICATE", Bytes: der}
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	Expect(err).NotTo(HaveOccurred())
	files["clientkey.pem"] = &pem.Block{Type: "PRIVATE KEY", Bytes: private}
	for name, block := range files {
		Expect(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600)).To(Succeed())
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "clientcert.pem"), filepath.Join(dir, "clientkey.pem"))
	Expect(err).NotTo(HaveOccurred())
	return pair
}

var _ = Describe("a hypervisor", func() {
	It("provides clones over TCP", func(ctx SpecContext) {
		at := relayed(func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }, func(net.Conn) error { return nil })
		configure(`by_tcp = ${guest} { libvirtURL = "qemu+tcp://%s/system" }`, at)
		run(logIn(up(ctx, "by_tcp")), "true")
		Expect(fixture.TearDown(ctx, "by_tcp")).To(Succeed())
		Expect(leftovers("by_tcp")).To(BeEmpty())
	})

	It("provides clones over TLS", func(ctx SpecContext) {
		dir := GinkgoT().TempDir()
		config := &tls.Config{Certificates: []tls.Certificate{keys(dir)}, MaxVersion: tls.VersionTLS12} // 1.3 has words before the greeting, which libvirt does not expect
		at := relayed(func() (net.Listener, error) { return tls.Listen("tcp", "127.0.0.1:0", config) }, func(conn net.Conn) error {
			_, err := conn.Write([]byte{1}) // the client's certificate will do
			return err
		})
		configure(`by_tls = ${guest} { libvirtURL = "qemu+tls://%s/system?pkipath=%s" }`, at, dir)
		run(logIn(up(ctx, "by_tls")), "true")
		Expect(fixture.TearDown(ctx, "by_tls")).To(Succeed())
		Expect(leftovers("by_tls")).To(BeEmpty())
	})

	It("provides clones of qemu:///session to an unprivileged user", func() {
		home := openDir()
		Expect(os.Chown(home, numberOf("user"), numberOf("user"))).To(Succeed())
		me := []string{"runuser", "-u", "user", "--", "env", "-C", home, "HOME=" + home, "XDG_CACHE_HOME=" + home, "XDG_RUNTIME_DIR=" + home, "TMPDIR=" + home}
		ask := func(args ...string) string {
			GinkgoHelper()
			args = append(append(slices.Clone(me), "virsh", "-q", "-c", "qemu:///session"), args...)
			out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), "%q: %s", args, out)
			return strings.TrimSpace(string(out))
		}
		image := filepath.Join(home, "own.qcow2")
		content, err := os.ReadFile(imageDir + "/my_base_domain.qcow2")
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(image, content, 0o644)).To(Succeed())
		before := contentOf(image)
		ask("pool-create-as", "own", "dir", "--target", home)
		DeferCleanup(func() { // or else the account's libvirtd stays for two minutes
			pid, err := os.ReadFile(filepath.Join(home, "libvirt", "libvirtd.pid"))
			Expect(err).NotTo(HaveOccurred())
			Expect(exec.Command("kill", strings.TrimSpace(string(pid))).Run()).To(Succeed())
			Eventually(func() error { return exec.Command("kill", "-0", strings.TrimSpace(string(pid))).Run() }).WithTimeout(30 * time.Second).Should(HaveOccurred())
		})
		base := virsh("dumpxml", "--inactive", "my_base_domain")
		base = regexp.MustCompile(`(?s)<uuid>.*?</uuid>|<interface .*</interface>`).ReplaceAllString(base, "")
		base = strings.NewReplacer("<name>my_base_domain<", "<name>own-base<", imageDir+"/my_base_domain.qcow2", image).Replace(base)
		definition := filepath.Join(home, "own.xml")
		Expect(os.WriteFile(definition, []byte(base), 0o644)).To(Succeed())
		ask("define", definition)
		Expect(os.WriteFile(filepath.Join(home, "overcast.conf"), []byte(`own {
			libvirtURL = "qemu:///session", libvirtBaseDomain = own-base, ipLookupStrategy = static, static.ip = "127.0.0.1"
		}`), 0o644)).To(Succeed())
		own := otherRun{via: me}.bringsUp("own")
		own.address()
		Expect(ask("list", "--name")).To(HavePrefix("overcast-own-"))
		Expect(clones("own")).To(BeEmpty(), "the system's libvirtd knows nothing of it")
		own.ends()
		Expect(ask("list", "--all", "--name")).To(Equal("own-base"))
		Expect(ask("vol-list", "own")).NotTo(ContainSubstring("overcast-"))
		Expect(contentOf(image)).To(Equal(before))
	})
})
