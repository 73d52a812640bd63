package child

import (
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Two specs that take the same two hosts, each the one first that the other
// takes last, as soon as both have one.
var _ = Describe("specs that take turns crosswise", func() {
	if does != "cross" {
		return
	}
	for _, order := range [][]string{{labels[0], labels[1]}, {labels[1], labels[0]}} {
		Context("with "+order[0]+" first", func() {
			BeforeEach(hosts.Exclusive(order[0]))
			BeforeEach(func(ctx SpecContext) {
				Expect(os.WriteFile(os.Getenv("CHILD_LOG")+"."+order[0], nil, 0o600)).To(Succeed())
				Expect(await(ctx, os.Getenv("CHILD_LOG")+"."+order[1])).To(Succeed())
			})
			BeforeEach(hosts.Exclusive(order[1]))
			It("has both", func() { note("has both") })
		})
	}
})
