package itest

import (
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
)

// seed is an example of the seed document as it is printed there. The files
// start with a home of their own, for tests that know the result beforehand.
func seed(example string) string {
	GinkgoHelper()
	text, err := os.ReadFile("../testdata/hocon/seed/" + example + ".conf")
	Expect(err).NotTo(HaveOccurred())
	printed, ok := strings.CutPrefix(string(text), "user.home = /home/me\n")
	Expect(ok).To(BeTrue(), "%s", text)
	Expect(printed).To(ContainSubstring(`libvirtURL="qemu+ssh://user@linux-box/system"`))
	Expect(printed).To(ContainSubstring(`"${user.home}"`))
	return printed
}

// patientSeed is a seed whose look-up by SSH gives up after 300 s and not after 30 s: an emulated
// guest of a busy machine may need more.
func patientSeed(example string) string {
	GinkgoHelper()
	text := strings.Replace(seed(example), "timeout=30", "timeout=300", 1)
	Expect(text).NotTo(Equal(seed(example)))
	return text
}

// guestAt logs in at an address; what answers there is a guest of the lab's.
func guestAt(address string) *ssh.Client {
	GinkgoHelper()
	pem, err := os.ReadFile(os.Getenv("LAB_SSH_KEY"))
	Expect(err).NotTo(HaveOccurred())
	key, err := ssh.ParsePrivateKey(pem)
	Expect(err).NotTo(HaveOccurred())
	var client *ssh.Client
	Eventually(func() (err error) {
		client, err = ssh.Dial("tcp", net.JoinHostPort(address, "22"), &ssh.ClientConfig{
			User:            "root",
			Auth:            []ssh.AuthMethod{ssh.PublicKeys(key)},
			HostKeyCallback: ssh.InsecureIgnoreHostKey(),
			Timeout:         10 * time.Second,
		})
		return err
	}).WithTimeout(time.Minute).Should(Succeed())
	DeferCleanup(func() { _ = client.Close() }) // the guest may be gone by then
	return client
}

// expectOnNetwork checks that what answers at an address is the clone whose
// interface on a network has it, by what the guest and libvirt say.
func expectOnNetwork(label, network, address string) {
	GinkgoHelper()
	mac := strings.TrimSpace(run(guestAt(address), `cat /sys/class/net/$(ip -o address | grep -F ' `+address+`/' | cut -d ' ' -f 2)/address`))
	var networks []string
	for _, clone := range clones(label) {
		for _, i := range clone.Devices.Interfaces {
			if i.MAC.Address != mac {
				continue
			}
			if i.Source.Network != nil {
				networks = append(networks, i.Source.Network.Network)
			}
			if i.Source.Bridge != nil {
				networks = append(networks, i.Source.Bridge.Bridge)
			}
		}
	}
	Expect(networks).To(ConsistOf(network))
}

var _ = Describe("the documentation", func() {
	for _, e := range []struct{ name, label, network, prefix string }{
		{"nat-network", "nat_host", "my_nat_network", "192.168.122."},
		{"bridged-network", "bridged_host", "br0", "192.168.124."},
	} {
		It("has a working example of a "+e.name, func() {
			host := otherRun{config: patientSeed(e.name)}.bringsUp(e.label)
			Expect(host.address()).To(HavePrefix(e.prefix))
			expectOnNetwork(e.label, e.network, host.address())
			host.ends()
		})
	}

	// "similar to a bridged network with the difference that networkDeviceId
	// should be set to the name of the routed network"
	for _, other := range []struct{ example, label string }{{"bridged-network", "bridged_host"}, {"nat-network", "nat_host"}} {
		It("has a working example of a routed network, based on "+other.example, func() {
			config := patientSeed(other.example) + "\nrouted_host = ${" + other.label + "} { networkDeviceId=\"my_routed_network\" }\n"
			host := otherRun{config: config}.bringsUp("routed_host")
			Expect(host.address()).To(HavePrefix("192.168.123."))
			expectOnNetwork("routed_host", "my_routed_network", host.address())
			host.ends()
		})
	}
})

// asAnother is the definition of a base domain under another name, with some
// of its text replaced.
func asAnother(base, name string, replacements ...string) string {
	GinkgoHelper()
	text := regexp.MustCompile(`(?s)<uuid>.*?</uuid>|<mac [^>]*>`).ReplaceAllString(virsh("dumpxml", "--inactive", base), "")
	return strings.NewReplacer(append(replacements, "<name>"+base+"</name>", "<name>"+name+"</name>")...).Replace(text)
}
