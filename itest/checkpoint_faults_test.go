package itest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
)

// killWhileReading kills the QEMU of a clone as soon as it has read some of a saved
// state. The result is closed then.
func killWhileReading(clone string) (killed chan struct{}) {
	GinkgoHelper()
	const some = 8 << 20
	pid := pidOfQEMU(clone)
	read := func() (bytes int) {
		text, _ := os.ReadFile("/proc/" + pid + "/io")
		_, _ = fmt.Sscanf(string(text), "rchar: %d", &bytes)
		return bytes
	}
	before := read()
	return once(func() bool { return read() >= before+some }, exec.Command("kill", "-KILL", pid).Run)
}

var _ = Describe("a revert", func() {
	BeforeEach(hosts.Pristine("nat_host"))

	It("fails when QEMU dies while it loads the state, and Pristine sets the host up anew", func(ctx SpecContext) {
		host := fixture.Host("nat_host")
		clone := ownClone("nat_host")
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		killed := killWhileReading(clone)
		err = checkpoint.Revert(ctx)
		Expect(killed).To(BeClosed())
		expectStopped(err, ContainSubstring("reverting to a checkpoint: nat_host: "))

		pristine := func() {
			GinkgoHelper()
			Expect(registry.Pristine(ctx, []string{"nat_host"}, false)).To(Succeed())
		}
		pristine()
		again := ownClone("nat_host")
		Expect(again).NotTo(Equal(clone))
		in(ctx, host, "touch /root/used")
		killed = killWhileReading(again)
		pristine()
		Expect(killed).To(BeClosed())
		Expect(ownClone("nat_host")).NotTo(Equal(again))
		Expect(host).NotTo(HaveFile("/root/used").Within(10 * time.Second))
		Expect(checkpoint.Revert(ctx)).To(MatchError(fixture.ErrCheckpointGone))
	})

	It("ends calls in progress with ErrReverted, and later calls wait for its end", func(ctx SpecContext) {
		host := fixture.Host("nat_host")
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				defer GinkgoRecover()
				_, err := host.Run(ctx, "touch /root/running; exec sleep 4321")
				Expect(err).To(MatchError(fixture.ErrReverted))
			})
		}
		Eventually(host).WithTimeout(time.Minute).Should(HaveFile("/root/running"))
		Expect(checkpoint.Revert(ctx)).To(Succeed())
		calls.Wait()
		Expect(host).NotTo(HaveFile("/root/running").Within(10 * time.Second))
		Expect(host).NotTo(HaveProcess(ContainSubstring("sleep 4321")).Within(10 * time.Second))

		var reverts sync.WaitGroup
		ended := make(chan struct{})
		for range 2 {
			reverts.Go(func() {
				defer GinkgoRecover()
				for range 3 {
					Expect(checkpoint.Revert(ctx)).To(Succeed())
				}
			})
			calls.Go(func() {
				defer GinkgoRecover()
				for {
					select {
					case <-ended:
						return
					default:
					}
					result, err := host.Run(ctx, "echo hello")
					if err == nil {
						Expect(result.Stdout).To(Equal("hello\n"))
					} else {
						Expect(err).To(MatchError(fixture.ErrReverted))
					}
				}
			})
		}
		reverts.Wait()
		close(ended)
		calls.Wait()
		Expect(says(ctx, host, "echo hello")).To(Equal("hello\n"))
	})

	It("works after libvirtd has restarted", Serial, func(ctx SpecContext) {
		host := fixture.Host("nat_host")
		in(ctx, host, "echo before >/root/state")
		checkpoint, err := host.Checkpoint(ctx)
		Expect(err).NotTo(HaveOccurred())
		in(ctx, host, "echo after >/root/state; sync")
		restartLibvirtd()
		Expect(checkpoint.Revert(ctx)).To(Succeed())
		Expect(says(ctx, host, "cat /root/state")).To(Equal("before\n"))
		Expect(checkpoint.Delete(ctx)).To(Succeed())
	})
})

// TestRevertingChild saves and restores the state of hosts until it is killed.
func TestRevertingChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("a helper process of specs, which set " + childVariable)
	}
	labels := strings.Split(os.Getenv(childVariable), ",")
	host := fixture.UpAll(t, labels...)[0]
	fmt.Println("up at", host.HostName())
	for t.Context().Err() == nil {
		checkpoint, err := host.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := registry.Pristine(t.Context(), labels, true); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint.Revert(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

var _ = Describe("a process that is killed at any moment of a checkpoint or a revert", func() {
	It("leaves nothing after overcast gc, 100 times (make kills)", func() {
		const atOnce, within = 2, 1500 * time.Millisecond
		kills, err := strconv.Atoi(os.Getenv(killsVariable))
		if err != nil {
			Skip(killsVariable + " is not set: make kills sets it. libvirtd crashes now and then while its clients are killed, which fails other specs")
		}
		define(strings.Replace(still, "<name>still<", "<name>reverted-base<", 1))
		var labels []string
		var all sync.WaitGroup
		for n := range atOnce {
			unlinked, file := fmt.Sprintf("unlinked%d_%d", n, os.Getpid()), fmt.Sprintf("file%d_%d", n, os.Getpid())
			labels = append(labels, unlinked, file)
			config := fmt.Sprintf(`%s { libvirtURL = "qemu:///system", libvirtBaseDomain = reverted-base, ipLookupStrategy = static, static.ip = "127.0.0.1", clock = keep }
				%s = ${%[1]s} { overlay = file }`, unlinked, file)
			all.Go(func() {
				defer GinkgoRecover()
				for range kills / atOnce {
					run := otherRun{config: config}.runs("TestRevertingChild", childVariable+"="+unlinked+","+file)
					Eventually(func() bool {
						up, err := run.isUp()
						return up || err != nil
					}).WithTimeout(2 * time.Minute).Should(BeTrue())
					wait(context.Background(), rand.N(within))
					if run.ExitCode() >= 0 {
						Expect(libvirtdCrashes()).To(BeNumerically(">", crashesBefore), "it runs until it is killed, or libvirtd crashes: %s", run.Out.Contents())
					}
					run.Kill().Wait(30 * time.Second)
				}
			})
		}
		all.Wait()
		for _, label := range labels {
			if libvirtdCrashes() > crashesBefore {
				break // libvirtd does not destroy the clones of clients that an earlier one has had
			}
			Eventually(clones).WithArguments(label).WithTimeout(30 * time.Second).Should(BeEmpty())
			Eventually(func() error { return exec.Command("pgrep", "-f", "guest=overcast-"+label+"-").Run() }).WithTimeout(30*time.Second).ShouldNot(Succeed(), "no QEMU is left")
		}
		for _, label := range labels {
			overcast("gc", label, "-c", "qemu:///system") // and nothing of other specs
			Expect(leftovers(label)).To(BeEmpty())
		}
	})
})
