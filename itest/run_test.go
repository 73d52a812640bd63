package itest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
)

// lasting are commands that last until they are ended. ID marks their
// processes.
var lasting = []string{
	"sleep ID",
	"sh -c 'sleep ID; echo'",
	"sleep ID & wait",
	"(sleep ID)",
	"sleep ID | cat",
	"while :; do :; done # ID",
	`trap "" TERM; sleep ID; sleep ID`,
	"env -i sleep ID",
	"exec env -i sleep ID",
	`env -i sh -c 'trap "" TERM; sleep ID; echo' & wait`,
	"(setsid sleep ID >/dev/null 2>&1 &); sleep ID",
}

// itRunsCommands are the specs about commands, for a host with any SSH server.
// many is how many commands it runs at once.
func itRunsCommands(host func() *fixture.CloudHost, many ...int) {
	for _, count := range many {
		It(fmt.Sprintf("runs %d commands at once", count), func(ctx SpecContext) {
			start := time.Now()
			var all sync.WaitGroup
			for i := range count {
				all.Go(func() {
					defer GinkgoRecover()
					Expect(says(ctx, host(), fmt.Sprintf("echo %d", i))).To(Equal(fmt.Sprintf("%d\n", i)))
				})
			}
			all.Wait()
			AddReportEntry(fmt.Sprintf("%.1f commands per second", float64(count)/time.Since(start).Seconds()))
		})
	}

	It("leaves no process of a command whose context ends", func(ctx SpecContext) {
		commandLines := func(g Gomega) string {
			result, err := host().Run(ctx, "cat /proc/[0-9]*/cmdline 2>/dev/null; true")
			g.Expect(err).NotTo(HaveOccurred())
			return result.Stdout
		}
		// Fewer at once than an SSH server with one session a connection allows.
		for lines := range slices.Chunk(lasting, 4) {
			commands, cancel := context.WithCancelCause(ctx)
			ids := map[string]string{}
			var all sync.WaitGroup
			for _, line := range lines {
				id := fmt.Sprint(int(1e9)*(len(ids)+1) + rand.IntN(1e9))
				ids[id] = line
				all.Go(func() {
					defer GinkgoRecover()
					_, err := host().Run(commands, strings.ReplaceAll(line, "ID", id))
					Expect(err).To(MatchError(ContainSubstring("enough")), line)
				})
			}
			for id, line := range ids {
				Eventually(commandLines).WithTimeout(time.Minute).Should(ContainSubstring(id), line)
			}
			cancel(errors.New("enough"))
			all.Wait()
			for id, line := range ids {
				Eventually(commandLines).WithTimeout(time.Minute).ShouldNot(ContainSubstring(id), line)
			}
		}
	})

	It("reports the signal that ended a command", func(ctx SpecContext) {
		for signal, code := range map[string]int{"HUP": 129, "KILL": 137, "USR1": 138, "TERM": 143, "34": 128} {
			result, err := host().Run(ctx, "kill -"+signal+" $$")
			Expect(err).NotTo(HaveOccurred(), signal)
			Expect(result.ExitCode).To(Equal(code), signal)
		}
		result, err := host().Run(ctx, "sh -c 'kill -34 $$'; exit $?")
		Expect(err).NotTo(HaveOccurred())
		Expect(result.ExitCode).To(Equal(128 + 34))
	})
}

// itNamesAFullDisk is a spec for a guest whose login is root's.
func itNamesAFullDisk(host func() *fixture.CloudHost) {
	It("names a full disk as the cause of an upload that fails", func(ctx SpecContext) {
		local := filepath.Join(GinkgoT().TempDir(), "large")
		Expect(os.WriteFile(local, make([]byte, 1<<20), 0o600)).To(Succeed())
		in(ctx, host(), "mkdir /small && mount -t tmpfs -o size=256k tmpfs /small")
		DeferCleanup(func(ctx SpecContext) { in(ctx, host(), "umount /small && rmdir /small") })
		err := host().Upload(ctx, local, "/small/copy")
		Expect(err).To(MatchError(syscall.ENOSPC))
		Expect(err).To(MatchError(MatchRegexp(`: writing /small/copy: no space left on device \(\d+ bytes are free\)$`)))
	})
}

var _ = Describe("a host with dropbear", func() {
	host := func() *fixture.CloudHost { return fixture.Host("nat_host") }
	itRunsCommands(host, 50)
	itNamesAFullDisk(host)
	itMatches(host, "dropbear")
})

var _ = Describe("a host with OpenSSH and an ordinary user", Ordered, func() {
	BeforeAll(func(ctx SpecContext) {
		configure(`ordinary { hostname = linux-box, connection.url = "ssh://user@{0}?privateKeyFile="${user.home}"/.ssh/id_rsa&passphrase=bigsecret" }`)
		allUp(ctx, "ordinary")
	})
	itRunsCommands(func() *fixture.CloudHost { return fixture.Host("ordinary") }, 50, 500)
})
