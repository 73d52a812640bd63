package itest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
)

var _ = Describe("a checkpoint", func() {
	BeforeEach(hosts.Pristine("nat_host"))

	It("brings back files and processes, and sets the clock", func(ctx SpecContext) {
		host := fixture.Host("nat_host")
		says(ctx, host, "echo before > /root/before; setsid sleep 4321 </dev/null >/dev/null 2>&1 &")
		Eventually(host).WithTimeout(time.Minute).Should(HaveProcess(ContainSubstring("sleep 4321")))
		start := time.Now()
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		GinkgoWriter.Println("checkpoint:", time.Since(start))

		says(ctx, host, "echo after > /root/after; rm /root/before; sync; kill $(pidof sleep); date -u -s @2145916800")
		for range 3 {
			start = time.Now()
			Expect(checkpoint.Revert(ctx)).To(Succeed())
			GinkgoWriter.Println("revert:", time.Since(start))
			Expect(says(ctx, host, "cat /root/before; ls /root/after 2>/dev/null | wc -l")).To(Equal("before\n0\n"))
			GinkgoWriter.Println("first answer:", time.Since(start))
			Expect(host).To(HaveProcess(ContainSubstring("sleep 4321")).Within(10 * time.Second))
			Expect(says(ctx, host, "date -u +%Y-%m-%d")).To(HavePrefix(time.Now().UTC().Format(time.DateOnly)))
			says(ctx, host, "rm -f /root/before; echo after > /root/after; sync")
		}
		Expect(checkpoint.Delete(ctx)).To(Succeed())
		Expect(checkpoint.Delete(ctx)).To(Succeed())
		Expect(checkpoint.Revert(ctx)).To(MatchError(fixture.ErrCheckpointGone))
		Expect(says(ctx, host, "echo it goes on")).To(Equal("it goes on\n"))
	})

	It("can be one of several, which are restored and deleted in any order", func(ctx SpecContext) {
		host := fixture.Host("nat_host")
		save := func() *fixture.Checkpoint {
			GinkgoHelper()
			checkpoint, err := host.Checkpoint(ctx)
			Expect(err).NotTo(HaveOccurred())
			return checkpoint
		}
		files := func() string { return says(ctx, host, "cd /root; echo *") }
		before := files()
		none := save()
		in(ctx, host, "touch /root/one")
		one := save()
		in(ctx, host, "touch /root/two; sync")

		Expect(none.Revert(ctx)).To(Succeed())
		Expect(files()).To(Equal(before))
		Expect(one.Revert(ctx)).To(Succeed())
		Expect(files()).To(And(ContainSubstring("one"), Not(ContainSubstring("two"))))
		Expect(one.Delete(ctx)).To(Succeed())
		Expect(files()).To(ContainSubstring("one"), "the state of the host goes on without its checkpoint")
		Expect(one.Revert(ctx)).To(MatchError(fixture.ErrCheckpointGone))
		Expect(none.Revert(ctx)).To(Succeed())
		Expect(files()).To(Equal(before))
	})

	It("of a guest that writes with fsync has a clean file system, and the file as it was", func(ctx SpecContext) {
		host := fixture.Host("nat_host")
		lines := func(g Gomega) int {
			result, err := host.Run(ctx, "grep -c . /root/lines")
			g.Expect(err).NotTo(HaveOccurred())
			n, err := strconv.Atoi(strings.TrimSpace(result.Stdout))
			g.Expect(err).NotTo(HaveOccurred())
			return n
		}
		in(ctx, host, "rm -f /run/stop /run/stopped /root/lines")
		DeferCleanup(func(ctx SpecContext) { in(ctx, host, "touch /run/stop") })
		in(ctx, host, `(n=0; until [ -e /run/stop ]; do n=$((n+1)); echo $n | dd of=/root/lines oflag=append conv=notrunc,fsync 2>/dev/null; done; touch /run/stopped) </dev/null >/dev/null 2>&1 &`)
		Eventually(lines).WithTimeout(time.Minute).Should(BeNumerically(">", 5))
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		for range 3 {
			in(ctx, host, "echo later >>/root/lines; touch /root/later; sync")
			Expect(checkpoint.Revert(ctx)).To(Succeed())
			Expect(host).NotTo(HaveFile("/root/later").Within(10 * time.Second))
			Eventually(lines).WithTimeout(time.Minute).Should(BeNumerically(">", lines(Default)), "the guest goes on writing")
		}
		in(ctx, host, "touch /run/stop")
		Eventually(host).WithTimeout(time.Minute).Should(HaveFile("/run/stopped"))
		var want strings.Builder
		for n := range lines(Default) {
			fmt.Fprintln(&want, n+1)
		}
		Expect(says(ctx, host, "cat /root/lines")).To(Equal(want.String()))
		Expect(says(ctx, host, "dmesg | grep -ci 'ext4.*error\\|i/o error' || true")).To(Equal("0\n"))
		expectCleanDisk(ctx, host)
		Expect(checkpoint.Revert(ctx)).To(Succeed()) // the file system is writable again
	})
})

// expectCleanDisk makes the root file system of a clone read-only and checks it.
func expectCleanDisk(ctx SpecContext, host *fixture.CloudHost) {
	GinkgoHelper()
	in(ctx, host, "sync; echo u >/proc/sysrq-trigger")
	Eventually(host).WithTimeout(time.Minute).Should(HaveMounted("/").ReadOnly())
	clone := ownClone(host.Label())
	virsh("suspend", clone) // QEMU writes what it has in its caches
	image := filepath.Join(GinkgoT().TempDir(), "disk.raw")
	for _, command := range [][]string{
		{"qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", fileOfQEMU(clone, "-vda.qcow2"), image},
		{"e2fsck", "-f", "-n", image},
	} {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
	}
	virsh("resume", clone)
}

var _ = Describe("a checkpoint that cannot be made", func() {
	It("fails without harm to the guest if the pool is full", func(ctx SpecContext) {
		pool("cramped", "24M")
		configure(`cramped_host = ${guest} { overlayPool = cramped }`)
		host := up(ctx, "cramped_host")
		_, err := host.Checkpoint(ctx)
		Expect(err).To(MatchError(MatchRegexp(`pool cramped has \d+\.\d MiB free, and the state needs up to \d+\.\d MiB: free space there, or set overlayPool to a larger pool`)))
		Expect(says(ctx, host, "echo more >/root/more && sync && cat /root/more")).To(Equal("more\n"))
	})

	It("is made after the guest's own 9p mount, which mountAt replaces, is unmounted", func(ctx SpecContext) {
		configure(`mounting = ${guest} { fsMapping { data { hostPath = %q }, files { hostPath = %[1]q, mountAt = /files } } }`, share())
		host := up(ctx, "mounting")
		Expect(host).To(HaveMounted("/data").Within(10 * time.Second))
		_, err := host.Checkpoint(ctx)
		Expect(err).To(MatchError(fixture.ErrNoCheckpoint))
		Expect(err).To(MatchError(ContainSubstring("set fsMapping.data.mountAt instead of mounting it in the guest")))
		Expect(says(ctx, host, "cat /data/hello /files/hello")).To(Equal("from outsidefrom outside"))

		in(ctx, host, "umount /data")
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(says(ctx, host, "cat /files/hello")).To(Equal("from outside"))
		in(ctx, host, "umount /files")
		Expect(checkpoint.Revert(ctx)).To(Succeed())
		Expect(says(ctx, host, "cat /files/hello")).To(Equal("from outside"))
	})
})

var _ = Describe("the pristine state of two hosts", Ordered, func() {
	const limit = 10 * time.Second // of one attempt of a matcher, for guests on a busy machine
	labels := []string{"pair_one", "pair_two"}
	pristine := func(ctx SpecContext, labels ...string) {
		GinkgoHelper()
		Expect(registry.Pristine(ctx, labels, false)).To(Succeed())
	}
	BeforeAll(func(ctx SpecContext) {
		configure(`pair_one = ${guest}, pair_two = ${guest}`)
		allUp(ctx, labels...)
	})

	// One host sends growing numbers to the other, which would get a smaller one
	// than before if its state were later than the sender's.
	It("is saved and restored at one moment on both hosts", func(ctx SpecContext) {
		sender, receiver := fixture.Host("pair_one"), fixture.Host("pair_two")
		in(ctx, receiver, `(highest=0; while :; do n=$(nc -l -p 4000 </dev/null); [ "$n" ] || continue
			[ $n -ge $highest ] || echo $n after $highest >>/root/future; highest=$n; echo $n >/root/received; done) </dev/null >/dev/null 2>&1 &`)
		in(ctx, sender, fmt.Sprintf(`(n=0; while :; do n=$((n+1)); until echo $n | nc %s 4000; do :; done; done) </dev/null >/dev/null 2>&1 &`, receiver.HostName()))
		received := func(g Gomega) int {
			result, err := receiver.Run(ctx, "cat /root/received")
			g.Expect(err).NotTo(HaveOccurred())
			n, err := strconv.Atoi(strings.TrimSpace(result.Stdout))
			g.Expect(err).NotTo(HaveOccurred())
			return n
		}
		for range 4 { // the first one saves the state
			pristine(ctx, labels...)
			Expect(receiver).NotTo(HaveFile("/root/used").Within(limit))
			start := received(Default)
			Eventually(received).WithTimeout(time.Minute).Should(BeNumerically(">", start+20))
			Expect(receiver).NotTo(HaveFile("/root/future").Within(limit))
			in(ctx, receiver, "touch /root/used")
		}
	})

	It("is not restored if the host has not been used", func(ctx SpecContext) {
		const label = "pair_one" // whose address is not known to the suite
		pristine(ctx, label)
		log := libvirtsLog()
		pristine(ctx, label)
		log.marks()
		Expect(log.events(ownClone(label))).To(BeEmpty())
		in(ctx, fixture.Host(label), "touch /root/used")
		pristine(ctx, label)
		log.marks()
		Expect(log.events(ownClone(label))).To(ContainElement("Suspended"))
		Expect(fixture.Host(label)).NotTo(HaveFile("/root/used").Within(limit))
	})

	It("is restored after a spec has saved or restored another state", func(ctx SpecContext) {
		host := fixture.Host("pair_one")
		pristine(ctx, "pair_one")
		in(ctx, host, "touch /root/used")
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		pristine(ctx, "pair_one")
		Expect(host).NotTo(HaveFile("/root/used").Within(limit))
		Expect(checkpoint.Revert(ctx)).To(Succeed())
		pristine(ctx, "pair_one")
		Expect(host).NotTo(HaveFile("/root/used").Within(limit))
	})

	It("is restored on a new host in place of one that has ended", func(ctx SpecContext) {
		lasting, ending := fixture.Host("pair_one"), fixture.Host("pair_two")
		pristine(ctx, labels...)
		before := ownClone("pair_two")
		in(ctx, lasting, "touch /root/used")
		_, _ = ending.Run(ctx, "poweroff -f")
		pristine(ctx, labels...)
		Expect(lasting).NotTo(HaveFile("/root/used").Within(limit))
		Expect(ownClone("pair_two")).NotTo(Equal(before))
		in(ctx, ending, "touch /root/used")
		pristine(ctx, labels...)
		Expect(ending).NotTo(HaveFile("/root/used").Within(limit))
	})
})
