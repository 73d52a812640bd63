package itest

import (
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/overcast-go/overcast/internal/trace"
	"github.com/overcast-go/overcast/internal/trace/tracetest"
)

var _ = Describe("OVERCAST_TRACE", func() {
	It("writes the set-ups and teardowns of all processes to one file", func() {
		path := filepath.Join(GinkgoT().TempDir(), "trace.json")
		GinkgoT().Setenv(trace.Variable, path)
		r := prepareChild()
		r.start("pass", []string{"plain", "fixed"}, ginkgoBinary(), "-procs=2", "--no-color", "child.test")
		r.leaves(tornDown)
		Expect(r.Session).To(gexec.Exit(0))

		events, err := tracetest.Read(path)
		Expect(err).NotTo(HaveOccurred())
		Expect(events.Processes()).To(HaveLen(2))
		hosts := 0
		for _, process := range events.Processes() {
			Expect(events.Labels(process)).To(ContainElement(r.name + "_plain"))
			for _, label := range events.Labels(process) {
				own := events.Of(process, label)
				Expect(own.CheckNesting()).To(Succeed())
				if own.Named("set up").Name == "" {
					continue // the host of another process
				}
				hosts++
				Expect(own.Names()).To(ContainElements("set up", "reserve", "plan: base domain", "cloned", "create overlay of vdb",
					"started", "create domain", "unlink files", "resume domain", "address", "find address", "tear down", "remove"))
				setUp, tearDown := own.Named("set up"), own.Named("tear down")
				for step, whole := range map[string]string{"create domain": "started", "find address": "address", "address": "set up", "remove": "tear down"} {
					Expect(own.Named(step).Time).To(BeNumerically(">", own.Named(whole).Time), step)
					Expect(own.Named(step).End()).To(BeNumerically("<", own.Named(whole).End()), step)
				}
				Expect(setUp.End()).To(BeNumerically("<", tearDown.Time))
			}
		}
		Expect(hosts).To(Equal(3), "process 1 sets the shared host up, and each process the other one")
	})
})
