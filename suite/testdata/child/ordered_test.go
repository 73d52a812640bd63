package child

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/filelock"
)

// queued returns the processes in the queue for the first host, in order.
func queued() (pids []int) {
	dir, err := filelock.Dir()
	Expect(err).NotTo(HaveOccurred())
	tickets, _ := filepath.Glob(filepath.Join(dir, "exclusive-"+fixture.Host(labels[0]).Address()+".queue", "*.ticket"))
	for _, path := range tickets { // in the order of their numbers
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // it was just released
		}
		Expect(err).NotTo(HaveOccurred())
		var holder filelock.Holder
		Expect(json.Unmarshal(text, &holder)).To(Succeed())
		pids = append(pids, holder.PID)
	}
	return pids
}

// Two ordered containers, one in each process. Process 2 has the host first and
// holds it until process 1 is queued.
var _ = Describe("exclusive containers", func() {
	if does != "ordered" {
		return
	}
	has := os.Getenv("CHILD_LOG") + ".has"
	for range 2 {
		Context("in order", Ordered, func() {
			BeforeAll(func(ctx SpecContext) {
				if GinkgoParallelProcess() == 1 {
					Expect(await(ctx, has)).To(Succeed())
				}
			})
			BeforeAll(hosts.Exclusive(labels[0]))
			BeforeEach(func() {
				note("enter %s", fixture.Host(labels[0]).HostName())
				DeferCleanup(func() { note("leave") })
			})
			It("acquires the host", func(ctx SpecContext) {
				if GinkgoParallelProcess() == 2 {
					Expect(os.WriteFile(has, nil, 0o600)).To(Succeed())
					Eventually(queued).WithContext(ctx).WithTimeout(limit).Should(HaveLen(2))
				}
			})
			It("still has the host", func() { Expect(queued()[0]).To(Equal(os.Getpid())) })
		})
	}
})

// stay waits until specs have released the host CHILD_STAYS_UNTIL times, so that
// the end of this process releases nothing.
func stay(ctx SpecContext) {
	times, err := strconv.Atoi(os.Getenv("CHILD_STAYS_UNTIL"))
	Expect(err).NotTo(HaveOccurred())
	Eventually(func() int {
		text, _ := os.ReadFile(os.Getenv("CHILD_LOG"))
		return strings.Count(string(text), ": leave\n")
	}).WithContext(ctx).WithTimeout(limit).Should(Equal(times))
}

var _ = Describe("specs without exclusive use", func() {
	switch does {
	case "undeclared":
		BeforeEach(hosts.Exclusive("undeclared"))
	case "before":
		BeforeEach(noteAll)
	case "around":
	default:
		return
	}
	for range 2 {
		It("runs", func() { note("ran") })
	}
})

// A spec of process 2 still runs when process 1 has run its last spec.
var _ = Describe("specs that end at different times", func() {
	if does != "stay" {
		return
	}
	stays := os.Getenv("CHILD_LOG") + ".stays"
	for range 2 {
		It("runs", func(ctx SpecContext) {
			if GinkgoParallelProcess() == 1 {
				Expect(await(ctx, stays)).To(Succeed())
				return
			}
			Expect(os.WriteFile(stays, nil, 0o600)).To(Succeed())
			<-ctx.Done()
		})
	}
})
