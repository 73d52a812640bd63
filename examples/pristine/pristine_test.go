package pristine_test

import (
	"context"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	. "github.com/overcast-go/overcast/matchers"
	_ "github.com/overcast-go/overcast/provider/libvirt"
	"github.com/overcast-go/overcast/suite"
)

func TestPristine(t *testing.T) {
	if os.Getenv("LAB_SSH_KEY") == "" {
		t.Skip("it needs the lab, or another overcast.conf: see README.md")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "destructive specs")
}

var hosts = suite.Declare("box")

var _ = BeforeSuite(hosts.SetUp)

// whole are commands that succeed on the machine as it is after set-up, and of
// which each spec makes at least one fail.
var whole = map[string]string{
	"its programs":         "test -x /bin/busybox && test -x /usr/sbin/dropbear && ls / >/dev/null",
	"its configuration":    "test -s /etc/passwd && test -s /etc/inittab && test -w /etc",
	"its users":            `test "$(grep -c . /etc/passwd)" = "$(cat /etc/passwd | grep -c :)" && ! grep -q intruder /etc/passwd`,
	"its keys":             "test -s /root/.ssh/authorized_keys",
	"its clock":            `test "$(date +%Y)" -lt 2037`,
	"its name":             `test "$(hostname)" = "$(cat /etc/hostname)"`,
	"room on its disk":     "dd if=/dev/zero of=/room bs=64k count=4 2>/dev/null && rm /room",
	"its mounts":           `test "$(grep -c ' /etc ' /proc/mounts)" = 0 && grep -q ' /run ' /proc/mounts`,
	"its limits":           `test "$(cat /proc/sys/kernel/pid_max)" -gt 1000`,
	"no files of a spec":   "! test -e /root/ruin && ! test -e /tmp/ruin",
	"no process of a spec": "! pidof yes",
}

var _ = Describe("a machine that each spec ruins", func() {
	BeforeEach(hosts.Pristine("box"))

	BeforeEach(func(ctx SpecContext) {
		host := fixture.Host("box")
		for what, cmd := range whole {
			result, err := host.Run(ctx, cmd)
			Expect(err).NotTo(HaveOccurred(), what)
			Expect(result.ExitCode).To(BeZero(), "the machine has lost %s: %s%s", what, result.Stdout, result.Stderr)
		}
	})

	// ruin runs a command, which may take its own connection away.
	ruin := func(ctx SpecContext, cmd string) {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_, _ = fixture.Host("box").Run(limited, cmd)
	}

	for title, cmd := range map[string]string{
		"deletes a folder":             "rm -rf /etc",
		"deletes the home folder":      "rm -rf /root/.ssh /root",
		"deletes the programs":         "rm -rf /usr /sbin",
		"fills the disk":               "dd if=/dev/zero of=/ruin bs=64k 2>/dev/null; sync",
		"writes many small files":      "mkdir -p /tmp/ruin && for i in $(seq 500); do echo $i >/tmp/ruin/$i; done",
		"empties the list of users":    "echo 'root:x:0:0:root:/root:/bin/sh' >/etc/passwd; echo intruder:x:0:0::/:/bin/sh >>/etc/passwd",
		"removes the authorized keys":  "echo >/root/.ssh/authorized_keys; chmod 777 /root/.ssh /root",
		"sets the date to 2038":        "date -s '2038-01-19 03:14:00'",
		"sets the date to 1990":        "date -s '1990-01-01 00:00:00'",
		"changes the host name":        "hostname ruined; echo ruined-too >/etc/hostname",
		"starts a process that stays":  "(setsid yes >/dev/null 2>&1 &)",
		"mounts over the settings":     "mount -t tmpfs tmpfs /etc",
		"makes the disk read-only":     "sync; mount -o remount,ro /",
		"lowers the number of PIDs":    "echo 320 >/proc/sys/kernel/pid_max",
		"unmounts the run folder":      "umount -l /run",
		"changes every permission":     "chmod -R 000 /etc /root /usr",
		"kills the SSH server":         "touch /root/ruin; sed -i /dropbear/d /etc/inittab; kill -HUP 1; sleep 1; killall -9 dropbear",
		"takes the network interface":  "for i in /sys/class/net/e*; do ip link set ${i##*/} down; done",
		"overwrites a program":         "echo broken >/usr/sbin/dropbear; cat /dev/null >/bin/busybox",
		"crashes half of its services": "killall -9 acpid udhcpc syslogd; touch /tmp/ruin",
	} {
		It(title, func(ctx SpecContext) { ruin(ctx, cmd) })
	}

	It("reboots", func(ctx SpecContext) {
		host := fixture.Host("box")
		before, err := host.Run(ctx, "cat /proc/sys/kernel/random/boot_id")
		Expect(err).NotTo(HaveOccurred())
		ruin(ctx, "reboot")
		Eventually(func(g Gomega) {
			after, err := host.Run(ctx, "cat /proc/sys/kernel/random/boot_id")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(after.Stdout).NotTo(Equal(before.Stdout))
		}).WithTimeout(3 * time.Minute).WithPolling(time.Second).Should(Succeed())
	})

	It("reboots, and does not wait for it", func(ctx SpecContext) { ruin(ctx, "reboot -f") })

	It("switches it off", func(ctx SpecContext) {
		ruin(ctx, "poweroff -f")
		Eventually(fixture.Host("box")).WithTimeout(time.Minute).ShouldNot(BeReachableOnSSH())
	})
})
