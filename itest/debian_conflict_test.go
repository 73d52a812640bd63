package itest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// changedDebian defines a base with the disk of lab-debian, changed by commands
// of debugfs, which find their files in dir. It is on my_nat_network, whose DHCP server goes by client
// identifiers.
func changedDebian(name, dir string, commands ...string) {
	GinkgoHelper()
	requireDebian("lab-debian")
	disk := imageDir + "/" + name + ".raw"
	DeferCleanup(func() { Expect(os.Remove(disk)).To(Succeed()) })
	tool := func(stdin, name string, args ...string) string {
		GinkgoHelper()
		cmd := exec.Command(name, args...)
		cmd.Stdin, cmd.Dir = strings.NewReader(stdin), dir
		out, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s %v: %s", name, args, out)
		return strings.TrimSpace(string(out))
	}
	tool("", "qemu-img", "convert", "-O", "raw", imageDir+"/lab-debian.qcow2", disk)
	start, err := strconv.Atoi(tool("", "partx", "-g", "-o", "START", "--nr", "2", disk))
	Expect(err).NotTo(HaveOccurred())
	const sector = 512
	said := tool(strings.Join(commands, "\n"), "debugfs", "-w", "-f", "/dev/stdin", fmt.Sprintf("%s?offset=%d", disk, start*sector))
	GinkgoWriter.Println(said)
	define(asAnother("lab-debian", name, imageDir+"/lab-debian.qcow2", disk, "type='qcow2'", "type='raw'"))
}

// threeRuns sets up a host of a base, with more configuration, in three processes, and
// returns the address that each has, or what it has printed.
func threeRuns(base, more string) (addresses []string, failures []string) {
	GinkgoHelper()
	config := fmt.Sprintf(`same { libvirtBaseDomain = %s, networkDeviceId = my_nat_network, addressTimeout = 10 minutes, provision.startTimeout = 5 minutes
		connection.url = "ssh://root@{0}?privateKeyFile="${LAB_SSH_KEY}
		%s }`+"\n", base, more)
	var runs []*runOfOne
	for range 3 {
		runs = append(runs, otherRun{config: config}.bringsUp("same"))
	}
	for _, r := range runs {
		Eventually(func() bool {
			up, _ := r.isUp()
			return up || r.ExitCode() >= 0
		}).WithTimeout(9 * time.Minute).Should(BeTrue())
		if up, _ := r.isUp(); up {
			addresses = append(addresses, r.address())
		} else {
			failures = append(failures, string(r.Out.Contents()))
		}
	}
	return addresses, failures
}

// requireSlow skips a spec that boots three systemd guests at once, where
// only the other specs were asked for.
func requireSlow() {
	GinkgoHelper()
	if os.Getenv("LAB_CLOUD") == "" {
		Skip("takes minutes: make itest-cloud runs it")
	}
}

func expectDifferent(addresses []string) {
	GinkgoHelper()
	Expect(addresses).To(HaveLen(3))
	Expect(map[string]bool{addresses[0]: true, addresses[1]: true, addresses[2]: true}).To(HaveLen(3))
}

var _ = Describe("clones of a base with systemd-networkd, in three processes", Serial, func() {
	It("fail with the cause where they have one machine ID", func() {
		requireDebian("lab-debian")
		define(asAnother("lab-debian", "one-machine-id"))
		addresses, failures := threeRuns("one-machine-id", "")
		Expect(len(addresses)).To(BeNumerically("<", 2))
		// The other machine has no domain any more where its own set-up has failed before.
		Expect(failures).To(HaveEach(MatchRegexp(`address 192\.168\.122\.\d+ of domain overcast-same-\S+ belongs to (domain overcast-same-\S+ |another machine, ).* base domain "one-machine-id" .*send the same DHCP client identifier`)))
		// The look-up ends when it sees the second lease, and not by its timeout.
		Expect(failures).To(HaveEach(Not(ContainSubstring("addressTimeout of"))))
	})

	for name, commands := range map[string][]string{
		"empty-machine-id": {"rm /etc/machine-id", "write EMPTY /etc/machine-id"},
		"mac-identifier":   {"mkdir /etc/systemd/network/lab.network.d", "write MAC /etc/systemd/network/lab.network.d/mac.conf"},
	} {
		It("have addresses of their own with "+strings.ReplaceAll(name, "-", " "), func() {
			requireSlow()
			dir := GinkgoT().TempDir()
			Expect(os.WriteFile(filepath.Join(dir, "EMPTY"), nil, 0o644)).To(Succeed())
			Expect(os.WriteFile(filepath.Join(dir, "MAC"), []byte("[DHCPv4]\nClientIdentifier=mac\n"), 0o644)).To(Succeed())
			changedDebian(name, dir, commands...)
			addresses, failures := threeRuns(name, "")
			Expect(failures).To(BeEmpty())
			expectDifferent(addresses)
		})
	}

	It("have addresses of their own with provision.cache", func() {
		requireSlow()
		requireDebian("lab-debian")
		DeferCleanup(removeLayers)
		define(asAnother("lab-debian", "cached-identity"))
		addresses, failures := threeRuns("cached-identity", "provision.cache = true")
		Expect(failures).To(BeEmpty())
		expectDifferent(addresses)
		Expect(leftovers("layer")).To(HaveLen(1+1), "the layer's domain and its volume")
	})
})
