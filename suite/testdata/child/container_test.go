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

// standing are the processes that stand in the line for the first host.
func standing() (pids []int) {
	dir, err := filelock.Dir()
	Expect(err).NotTo(HaveOccurred())
	tickets, _ := filepath.Glob(filepath.Join(dir, "exclusive-"+fixture.Host(labels[0]).Address()+".queue", "*.ticket"))
	for _, path := range tickets { // in their order
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // it has just left
		}
		Expect(err).NotTo(HaveOccurred())
		var holder filelock.Holder
		if json.Unmarshal(text, &holder) == nil { // else it is being written
			pids = append(pids, holder.PID)
		}
	}
	return pids
}

// Two containers, of which each is one process's. Process 2 has the host first,
// until process 1 stands in the line.
var _ = Describe("containers that take turns", func() {
	if does != "container" {
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
			It("has it first", func(ctx SpecContext) {
				if GinkgoParallelProcess() == 2 {
					Expect(os.WriteFile(has, nil, 0o600)).To(Succeed())
					Eventually(standing).WithContext(ctx).WithTimeout(limit).Should(HaveLen(2))
				}
			})
			It("has it still", func() { Expect(standing()[0]).To(Equal(os.Getpid())) })
		})
	}
})

// outlast waits until the host has been had CHILD_OUTLASTS times: nobody gets it
// because this process has ended.
func outlast(ctx SpecContext) {
	times, err := strconv.Atoi(os.Getenv("CHILD_OUTLASTS"))
	Expect(err).NotTo(HaveOccurred())
	Eventually(func() int {
		text, _ := os.ReadFile(os.Getenv("CHILD_LOG"))
		return strings.Count(string(text), ": leave\n")
	}).WithContext(ctx).WithTimeout(limit).Should(Equal(times))
}

var _ = Describe("specs without a turn", func() {
	switch does {
	case "undeclared":
		BeforeEach(hosts.Exclusive("nobody"))
	case "before":
		BeforeEach(noteAll)
	case "around":
	default:
		return
	}
	for range 2 {
		It("does nothing", func() { note("ran") })
	}
})

// A spec of process 2 goes on when process 1 has run its last.
var _ = Describe("specs of which one stays", func() {
	if does != "stay" {
		return
	}
	stays := os.Getenv("CHILD_LOG") + ".stays"
	for range 2 {
		It("is one process's", func(ctx SpecContext) {
			if GinkgoParallelProcess() == 1 {
				Expect(await(ctx, stays)).To(Succeed())
				return
			}
			Expect(os.WriteFile(stays, nil, 0o600)).To(Succeed())
			<-ctx.Done()
		})
	}
})
